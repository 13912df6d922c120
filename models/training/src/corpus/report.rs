//! report
/// x
#[derive(clap::Args, Debug)]
pub struct Report {}
impl Report {
    /// x
    pub fn run(&self) -> anyhow::Result<String> {
        Ok(String::new())
    }
}
