//! Drum patterns of one bar, by style: `X` loud, `x` normal, `o` soft, `?` sometimes, `.` nothing.

use super::kit::Piece::{self, *};

/// One bar of drumming.
pub struct Pattern {
    /// What styles call for.
    pub style: &'static str,
    /// Beats in its bar.
    pub beats: u32,
    /// Steps in each beat.
    pub steps: u32,
    /// What is struck at each step.
    pub lines: &'static [(Piece, &'static str)],
}

const fn four(style: &'static str, lines: &'static [(Piece, &'static str)]) -> Pattern {
    Pattern {
        style,
        beats: 4,
        steps: 4,
        lines,
    }
}

const fn other(
    style: &'static str,
    beats: u32,
    steps: u32,
    lines: &'static [(Piece, &'static str)],
) -> Pattern {
    Pattern {
        style,
        beats,
        steps,
        lines,
    }
}

/// All of them.
pub const PATTERNS: &[Pattern] = &[
    four(
        "rock",
        &[
            (Kick, "X.....?.X.x....."),
            (Snare, "....X.......X..."),
            (ClosedHat, "x.o.x.o.x.o.x.o."),
        ],
    ),
    four(
        "rock",
        &[
            (Kick, "X..x..x.x.....?."),
            (Snare, "....X..o....X..o"),
            (ClosedHat, "x.x.x.x.x.x.x.x."),
        ],
    ),
    four(
        "rock",
        &[
            (Kick, "X.X.....X.X....."),
            (Snare, "....X.......X..."),
            (Crash, "x...x...x...x..."),
        ],
    ),
    four(
        "rock",
        &[
            (Kick, "X......xX.x....."),
            (Snare, "....X.......X..."),
            (Ride, "x.o.x.o.x.o.x.o."),
        ],
    ),
    four(
        "half",
        &[
            (Kick, "X.....x......?.."),
            (Snare, "........X......."),
            (ClosedHat, "x.o.x.o.x.o.x.o."),
        ],
    ),
    four(
        "half",
        &[
            (Kick, "X..x......x....."),
            (Snare, "........X......?"),
            (Ride, "x...x...x...x..."),
        ],
    ),
    four(
        "double",
        &[
            (Kick, "X...X...X...X..."),
            (Snare, "..X...X...X...X."),
            (ClosedHat, "x.x.x.x.x.x.x.x."),
        ],
    ),
    four(
        "double",
        &[
            (Kick, "X..xX...X..xX..."),
            (Snare, "..X...X...X...X."),
            (Crash, "x...x...x...x..."),
        ],
    ),
    four(
        "metal",
        &[
            (Kick, "XxxxxxxxXxxxxxxx"),
            (Snare, "....X.......X..."),
            (Crash, "x...x...x...x..."),
        ],
    ),
    four(
        "metal",
        &[
            (Kick, "X.xxX.xxX.xxX.xx"),
            (Snare, "....X.......X..."),
            (Ride, "x.x.x.x.x.x.x.x."),
        ],
    ),
    four(
        "metal",
        &[
            (Kick, "X.x.x.x.x.x.x.x."),
            (Snare, ".X.X.X.X.X.X.X.X"),
            (Ride, "x.x.x.x.x.x.x.x."),
        ],
    ),
    four(
        "metal",
        &[
            (Kick, "XxxxxxxxxxxxxxxX"),
            (Snare, "........X......."),
            (OpenHat, "x...x...x...x..."),
        ],
    ),
    four(
        "metal",
        &[
            (Kick, "X..X..X...X..X.."),
            (Snare, "....X.......X..."),
            (Crash, "x.x.x.x.x.x.x.x."),
        ],
    ),
    four(
        "funk",
        &[
            (Kick, "X..x..?...x..?.."),
            (Snare, "....X..o.o..X..o"),
            (ClosedHat, "xoxoxoxoxoxoxoxo"),
        ],
    ),
    four(
        "funk",
        &[
            (Kick, "X.x...?..x.x...."),
            (Snare, "....X..o.o.oX.?."),
            (ClosedHat, "x.xox.xox.xox.x."),
            (OpenHat, "..............x."),
        ],
    ),
    four(
        "hiphop",
        &[
            (Kick, "X......x.xX...?."),
            (Snare, "....X.......X..."),
            (ClosedHat, "x.x.x.x.x.x.x.x."),
        ],
    ),
    four(
        "hiphop",
        &[
            (Kick, "X..x....?.x....."),
            (Clap, "....X.......X..."),
            (ClosedHat, "x.xxx.x.x.x.xxxx"),
        ],
    ),
    four(
        "trap",
        &[
            (Kick, "X......x...?...."),
            (Clap, "........X......."),
            (ClosedHat, "x?x?x?x?x?x?xxxx"),
        ],
    ),
    four(
        "house",
        &[
            (Kick, "X...X...X...X..."),
            (Clap, "....x.......x..."),
            (OpenHat, "..x...x...x...x."),
            (ClosedHat, "o.o.o.o.o.o.o.o."),
        ],
    ),
    four(
        "house",
        &[
            (Kick, "X...X...X...X..."),
            (Snare, "....x.......x..."),
            (Shaker, "oxoooxoooxoooxoo"),
            (OpenHat, "..x...x...x...x."),
        ],
    ),
    four(
        "techno",
        &[
            (Kick, "X...X...X...X..."),
            (OpenHat, "..x...x...x...x."),
            (Rim, "...x..x...?..x.."),
        ],
    ),
    four(
        "techno",
        &[
            (Kick, "X...X...X...X..."),
            (ClosedHat, "xxxxxxxxxxxxxxxx"),
            (LowTom, "..?..?..?..?..?."),
        ],
    ),
    four(
        "dnb",
        &[
            (Kick, "X.........X....."),
            (Snare, "....X.......X..."),
            (ClosedHat, "x.x.x.x.x.x.x.x."),
        ],
    ),
    four(
        "dnb",
        &[
            (Kick, "X.x.......xx...."),
            (Snare, "....X..o.o..X..o"),
            (Ride, "x.x.x.x.x.x.x.x."),
        ],
    ),
    four(
        "breaks",
        &[
            (Kick, "X.x.......x..?.."),
            (Snare, "....X..x.x..X..x"),
            (ClosedHat, "x.x.x.x.x.x.x.x."),
        ],
    ),
    four(
        "latin",
        &[
            (Kick, "x..xx..xx..xx..x"),
            (Rim, "X..X..X...X.X..."),
            (Bell, "x.xxx.x.x.xxx.x."),
        ],
    ),
    four(
        "latin",
        &[
            (Kick, "x.....x.x.....x."),
            (Rim, "..X.X...X..X..X."),
            (Shaker, "xoxoxoxoxoxoxoxo"),
            (HighHand, "..x...xx..x...xx"),
        ],
    ),
    four(
        "latin",
        &[
            (Kick, "X..x..x.X..x..x."),
            (Snare, "...x..x....x..x."),
            (Bell, "x.x.x.x.x.x.x.x."),
        ],
    ),
    four(
        "bossa",
        &[
            (Kick, "x..xx..xx..xx..x"),
            (Rim, "x..x..x...x..x.."),
            (ClosedHat, "oooooooooooooooo"),
        ],
    ),
    four(
        "hands",
        &[
            (LowHand, "X.....x.X......."),
            (HighHand, "..xx.xx...xx.x.x"),
            (Shaker, "x.xox.xox.xox.xo"),
        ],
    ),
    four(
        "hands",
        &[
            (LowHand, "X..x..x...x.x..."),
            (HighHand, ".oo.oo.oxo.o.ox."),
        ],
    ),
    four(
        "reggae",
        &[
            (Kick, "........X......."),
            (Rim, "........X......."),
            (ClosedHat, "..x.o.x...x.o.xo"),
        ],
    ),
    four(
        "reggae",
        &[
            (Kick, "X...X...X...X..."),
            (Snare, "........X......?"),
            (ClosedHat, "..x...x...x...x."),
        ],
    ),
    four(
        "ska",
        &[
            (Kick, "X.......X......."),
            (Snare, "....X.......X..."),
            (ClosedHat, "..X...X...X...X."),
        ],
    ),
    four(
        "ska",
        &[
            (Kick, "....X.......X..."),
            (Rim, "....X.......X..."),
            (OpenHat, "..x...x...x...x."),
        ],
    ),
    four(
        "swing",
        &[
            (Ride, "x...x.x.x...x.x."),
            (PedalHat, "....x.......x..."),
            (Snare, "..?...?...?...?."),
            (Kick, "o...?..?o..??..."),
        ],
    ),
    four(
        "swing",
        &[
            (Ride, "x...x.x.x...x.x."),
            (PedalHat, "....x.......x..."),
            (Rim, "............x..."),
        ],
    ),
    four(
        "swing",
        &[
            (ClosedHat, "x...x.x.x...x.x."),
            (Kick, "o...o...o...o..."),
            (Snare, "......?....?..?."),
        ],
    ),
    four(
        "train",
        &[(Kick, "X...x...X...x..."), (Snare, "ooXoooXoooXoooXo")],
    ),
    four(
        "train",
        &[
            (Kick, "X.......X......."),
            (Rim, "....x.......x..."),
            (Shaker, "xoxoxoxoxoxoxoxo"),
        ],
    ),
    four(
        "march",
        &[
            (Kick, "X.......X......."),
            (Snare, "x..xx.x.x..xx.xx"),
            (Crash, "....?.......?..."),
        ],
    ),
    four(
        "tribal",
        &[
            (Kick, "X...X...X...X..."),
            (LowTom, "x..x..x...x..x.."),
            (HighTom, "....x.....x...x."),
        ],
    ),
    four(
        "soft",
        &[
            (Kick, "x.......x......."),
            (Rim, "....x.......x..."),
            (Shaker, "x.o.x.o.x.o.x.o."),
        ],
    ),
    four(
        "soft",
        &[
            (Kick, "x.........x....."),
            (Snare, "....o.......o..."),
            (ClosedHat, "x...x...x...x..."),
        ],
    ),
    other(
        "waltz",
        3,
        4,
        &[
            (Kick, "X..........."),
            (Snare, "....x...x..."),
            (ClosedHat, "x...x...x..."),
        ],
    ),
    other(
        "waltz",
        3,
        4,
        &[
            (Kick, "X.....?....."),
            (Rim, "....x...x..."),
            (Ride, "x...x.x.x..."),
        ],
    ),
    other(
        "waltz",
        3,
        4,
        &[
            (Kick, "X.....x....."),
            (Snare, "........X..."),
            (ClosedHat, "x.x.x.x.x.x."),
        ],
    ),
    other(
        "two",
        2,
        4,
        &[
            (Kick, "X...x..."),
            (Snare, "..X...X."),
            (ClosedHat, "x.o.x.o."),
        ],
    ),
    other("two", 2, 4, &[(Kick, "X..?...."), (Snare, "x.xxX.xx")]),
    other(
        "two",
        2,
        4,
        &[
            (LowHand, "X.....x."),
            (Shaker, "xooxxoox"),
            (Kick, "x..xX..x"),
        ],
    ),
    other(
        "six",
        2,
        3,
        &[(Kick, "X.?..."), (Snare, "...X.."), (ClosedHat, "xooxoo")],
    ),
    other(
        "six",
        2,
        3,
        &[(Kick, "X....x"), (Rim, "...x.."), (Ride, "x.xx.x")],
    ),
    other(
        "six",
        2,
        6,
        &[
            (Kick, "X.....?....."),
            (Snare, "......X....o"),
            (ClosedHat, "x.o.o.x.o.o."),
        ],
    ),
    other(
        "six",
        2,
        3,
        &[(LowHand, "X....x"), (HighHand, ".xx.x."), (Bell, "x.xx.x")],
    ),
    other(
        "shuffle",
        4,
        3,
        &[
            (Kick, "X.....x.x..."),
            (Snare, "...X.....X.."),
            (ClosedHat, "x.ox.ox.ox.o"),
        ],
    ),
    other(
        "shuffle",
        4,
        3,
        &[
            (Kick, "X.ox.oX.ox.o"),
            (Snare, "...X.....X.?"),
            (Ride, "x.ox.ox.ox.o"),
        ],
    ),
    other(
        "shuffle",
        4,
        3,
        &[
            (Kick, "X....xx....."),
            (Snare, "...X..o..X.."),
            (ClosedHat, "xooxooxooxoo"),
        ],
    ),
    other(
        "five",
        5,
        4,
        &[
            (Kick, "X.....x.....X......."),
            (Snare, "....X..........?X..."),
            (ClosedHat, "x.o.x.o.x.o.x.o.x.o."),
        ],
    ),
    other(
        "five",
        5,
        4,
        &[
            (Kick, "X.....x.....x......."),
            (Rim, "........x.......x..."),
            (Ride, "x...x.x.x...x...x.x."),
        ],
    ),
    other(
        "seven",
        7,
        2,
        &[
            (Kick, "X.......x..?.."),
            (Snare, "....X.......X."),
            (ClosedHat, "x.x.x.x.x.x.x."),
        ],
    ),
    other(
        "seven",
        7,
        2,
        &[
            (Kick, "X..x....x...x."),
            (Snare, "....x.....X..."),
            (Ride, "x.o.x.o.x.o.o."),
        ],
    ),
    other(
        "seven",
        7,
        2,
        &[
            (Kick, "X.....x...x..."),
            (Snare, "....X...X...X."),
            (ClosedHat, "xoxoxoxoxoxoxo"),
        ],
    ),
];
