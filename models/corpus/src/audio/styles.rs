//! Styles of music: who plays what, how fast, in which metres.

use super::score::Meter;

/// What a part does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Bass: roots, drive or syncopation.
    Bass,
    /// Bass that walks a note a beat.
    Walk,
    /// Bass between the beats.
    OffBass,
    /// Bass and guitars in one riff of power chords.
    Riff,
    /// The same riff, single low notes.
    RiffBass,
    /// A guitar's strum, string after string.
    Strum,
    /// Chords in a rhythm of their own.
    Comp,
    /// Broken chords.
    Arpeggio,
    /// Held chords.
    Pad,
    /// Chords between the beats only.
    Offbeat,
    /// A melody.
    Lead,
    /// A short figure, repeated.
    Ostinato,
    /// One note again and again.
    Tremolo,
}

/// A part that may play.
pub struct Voicing {
    /// How likely it is there.
    pub chance: f64,
    /// What it does.
    pub role: Role,
    /// General MIDI programs it may be.
    pub programs: &'static [u8],
    /// How likely it goes through an amplifier.
    pub amplified: f64,
    /// Level beside the drums in dB.
    pub level: f64,
}

/// A style.
pub struct Style {
    /// Its name.
    pub name: &'static str,
    /// How often it is chosen.
    pub weight: f64,
    /// Beats per minute.
    pub bpm: (f64, f64),
    /// Metres with their weights.
    pub meters: &'static [(f64, Meter)],
    /// How likely it swings.
    pub swing: f64,
    /// How likely there are drums.
    pub drums: f64,
    /// Styles of recorded drumming that fit.
    pub takes: &'static [&'static str],
    /// Styles of patterns that fit.
    pub patterns: &'static [&'static str],
    /// The other players.
    pub voices: &'static [Voicing],
    /// Deviation of the players' timing in seconds.
    pub loose: f64,
    /// How likely the tempo is a player's own.
    pub free: f64,
}

const fn v(
    chance: f64,
    role: Role,
    programs: &'static [u8],
    amplified: f64,
    level: f64,
) -> Voicing {
    Voicing {
        chance,
        role,
        programs,
        amplified,
        level,
    }
}

const PIANO: &[u8] = &[0, 0, 1, 2, 3, 6];
const ELECTRIC_PIANO: &[u8] = &[4, 5, 7];
const MALLET: &[u8] = &[8, 9, 11, 12, 13, 108];
const ORGAN: &[u8] = &[16, 17, 18];
const REED_ORGAN: &[u8] = &[19, 20, 21, 22, 23];
const ACOUSTIC: &[u8] = &[24, 25, 25, 26];
const ELECTRIC: &[u8] = &[26, 27, 28, 29];
const DRIVEN: &[u8] = &[27, 28, 29, 30, 30];
const BASS: &[u8] = &[33, 34, 35, 36, 37];
const DOUBLE_BASS: &[u8] = &[32, 32, 43];
const SYNTH_BASS: &[u8] = &[38, 39, 87, 80, 81];
const SOLO_STRING: &[u8] = &[40, 41, 42, 110];
const STRINGS: &[u8] = &[48, 49, 50, 51];
const PLUCKED: &[u8] = &[45, 46, 15, 104, 105, 106, 107];
const CHOIR: &[u8] = &[52, 53, 54, 91];
const BRASS: &[u8] = &[56, 57, 59, 60, 61, 62, 63];
const REED: &[u8] = &[64, 65, 66, 67, 68, 69, 70, 71, 109, 111];
const PIPE: &[u8] = &[72, 73, 74, 75, 77, 78, 79];
const SYNTH_LEAD: &[u8] = &[80, 81, 82, 84, 85, 86, 87];
const SYNTH_PAD: &[u8] = &[88, 89, 90, 92, 93, 94, 95, 50, 51];
const SYNTH_ANY: &[u8] = &[80, 81, 82, 85, 88, 90, 96, 98, 100, 103, 62, 5];

const FOUR: &[(f64, Meter)] = &[(1.0, Meter::FOUR)];
const MOSTLY: &[(f64, Meter)] = &[
    (0.84, Meter::FOUR),
    (0.04, Meter::THREE),
    (0.05, Meter::SIX_EIGHT),
    (0.03, Meter::TWELVE_EIGHT),
    (0.02, Meter::FIVE),
    (0.02, Meter::SEVEN),
];
const MIXED: &[(f64, Meter)] = &[
    (0.45, Meter::FOUR),
    (0.25, Meter::THREE),
    (0.16, Meter::SIX_EIGHT),
    (0.06, Meter::TWO),
    (0.04, Meter::FIVE),
    (0.04, Meter::SEVEN),
];

use Role::*;

/// All of them.
pub const STYLES: &[Style] = &[
    Style {
        name: "drums",
        weight: 14.0,
        bpm: (45.0, 210.0),
        meters: MOSTLY,
        swing: 0.15,
        drums: 1.0,
        takes: &[
            "rock",
            "funk",
            "jazz",
            "latin",
            "hiphop",
            "soul",
            "punk",
            "afrocuban",
            "neworleans",
            "reggae",
            "country",
            "pop",
            "gospel",
            "afrobeat",
            "dance",
            "blues",
            "highlife",
            "middleeastern",
        ],
        patterns: &[
            "rock", "half", "double", "metal", "funk", "hiphop", "house", "techno", "dnb", "latin",
            "hands", "tribal", "march",
        ],
        voices: &[],
        loose: 0.006,
        free: 0.3,
    },
    Style {
        name: "rock",
        weight: 10.0,
        bpm: (70.0, 185.0),
        meters: MOSTLY,
        swing: 0.05,
        drums: 0.97,
        takes: &["rock", "punk", "pop", "blues"],
        patterns: &["rock", "half", "double", "tribal"],
        voices: &[
            v(0.9, Bass, BASS, 0.2, -4.0),
            v(0.5, Strum, DRIVEN, 0.8, -5.0),
            v(0.5, Riff, DRIVEN, 0.9, -4.0),
            v(0.3, Lead, DRIVEN, 0.7, -5.0),
            v(0.15, Comp, ORGAN, 0.3, -8.0),
        ],
        loose: 0.007,
        free: 0.3,
    },
    Style {
        name: "pop",
        weight: 8.0,
        bpm: (65.0, 150.0),
        meters: MOSTLY,
        swing: 0.1,
        drums: 0.9,
        takes: &["pop", "rock", "soul", "gospel"],
        patterns: &["rock", "soft", "house", "hiphop"],
        voices: &[
            v(0.9, Bass, BASS, 0.1, -5.0),
            v(0.6, Comp, PIANO, 0.0, -6.0),
            v(0.5, Strum, ACOUSTIC, 0.0, -8.0),
            v(0.4, Pad, SYNTH_PAD, 0.0, -12.0),
            v(0.5, Lead, SYNTH_LEAD, 0.0, -5.0),
            v(0.3, Lead, CHOIR, 0.0, -6.0),
        ],
        loose: 0.006,
        free: 0.25,
    },
    Style {
        name: "metal",
        weight: 11.0,
        bpm: (80.0, 215.0),
        meters: MOSTLY,
        swing: 0.0,
        drums: 0.96,
        takes: &["rock", "punk"],
        patterns: &["metal", "double", "half", "rock"],
        voices: &[
            v(1.0, Riff, DRIVEN, 1.0, -1.0),
            v(0.6, Riff, DRIVEN, 1.0, -2.0),
            v(0.9, RiffBass, BASS, 0.5, -4.0),
            v(0.3, Tremolo, DRIVEN, 1.0, -4.0),
            v(0.35, Lead, DRIVEN, 1.0, -3.0),
            v(0.1, Pad, STRINGS, 0.0, -9.0),
        ],
        loose: 0.005,
        free: 0.25,
    },
    Style {
        name: "punk",
        weight: 4.0,
        bpm: (140.0, 215.0),
        meters: FOUR,
        swing: 0.0,
        drums: 1.0,
        takes: &["punk", "rock"],
        patterns: &["double", "rock"],
        voices: &[
            v(1.0, Riff, DRIVEN, 1.0, -1.0),
            v(1.0, RiffBass, BASS, 0.4, -4.0),
            v(0.3, Strum, DRIVEN, 1.0, -3.0),
        ],
        loose: 0.009,
        free: 0.4,
    },
    Style {
        name: "funk",
        weight: 5.0,
        bpm: (80.0, 130.0),
        meters: FOUR,
        swing: 0.25,
        drums: 1.0,
        takes: &["funk", "soul", "neworleans", "afrobeat", "gospel"],
        patterns: &["funk", "breaks"],
        voices: &[
            v(1.0, Bass, BASS, 0.1, -2.0),
            v(0.7, Comp, ELECTRIC, 0.3, -7.0),
            v(0.5, Comp, ELECTRIC_PIANO, 0.1, -7.0),
            v(0.4, Comp, BRASS, 0.0, -5.0),
            v(0.3, Lead, REED, 0.0, -6.0),
        ],
        loose: 0.006,
        free: 0.2,
    },
    Style {
        name: "hiphop",
        weight: 5.0,
        bpm: (62.0, 110.0),
        meters: FOUR,
        swing: 0.5,
        drums: 1.0,
        takes: &["hiphop", "soul", "funk"],
        patterns: &["hiphop", "trap"],
        voices: &[
            v(0.9, Bass, SYNTH_BASS, 0.1, -1.0),
            v(0.6, Ostinato, MALLET, 0.0, -7.0),
            v(0.4, Comp, ELECTRIC_PIANO, 0.0, -7.0),
            v(0.3, Pad, STRINGS, 0.0, -9.0),
        ],
        loose: 0.004,
        free: 0.05,
    },
    Style {
        name: "trap",
        weight: 2.5,
        bpm: (120.0, 165.0),
        meters: FOUR,
        swing: 0.0,
        drums: 1.0,
        takes: &["hiphop"],
        patterns: &["trap", "half"],
        voices: &[
            v(0.9, Bass, SYNTH_BASS, 0.3, 0.0),
            v(0.7, Ostinato, SYNTH_ANY, 0.0, -7.0),
            v(0.3, Lead, PIPE, 0.0, -8.0),
        ],
        loose: 0.0,
        free: 0.0,
    },
    Style {
        name: "house",
        weight: 7.0,
        bpm: (110.0, 140.0),
        meters: FOUR,
        swing: 0.2,
        drums: 0.97,
        takes: &["dance"],
        patterns: &["house", "techno"],
        voices: &[
            v(0.5, OffBass, SYNTH_BASS, 0.1, -3.0),
            v(0.5, Bass, SYNTH_BASS, 0.1, -3.0),
            v(0.5, Comp, SYNTH_ANY, 0.0, -6.0),
            v(0.5, Ostinato, SYNTH_ANY, 0.0, -7.0),
            v(0.5, Pad, SYNTH_PAD, 0.0, -9.0),
            v(0.3, Comp, PIANO, 0.0, -5.0),
            v(0.3, Lead, SYNTH_LEAD, 0.0, -4.0),
        ],
        loose: 0.0,
        free: 0.0,
    },
    Style {
        name: "techno",
        weight: 4.0,
        bpm: (122.0, 165.0),
        meters: FOUR,
        swing: 0.05,
        drums: 0.97,
        takes: &["dance"],
        patterns: &["techno", "tribal", "house"],
        voices: &[
            v(0.7, Ostinato, SYNTH_BASS, 0.3, -3.0),
            v(0.7, Ostinato, SYNTH_ANY, 0.2, -6.0),
            v(0.4, Arpeggio, SYNTH_LEAD, 0.0, -6.0),
            v(0.4, Pad, SYNTH_PAD, 0.0, -10.0),
        ],
        loose: 0.0,
        free: 0.0,
    },
    Style {
        name: "dnb",
        weight: 4.0,
        bpm: (155.0, 185.0),
        meters: FOUR,
        swing: 0.05,
        drums: 1.0,
        takes: &["funk"],
        patterns: &["dnb", "breaks"],
        voices: &[
            v(1.0, Bass, SYNTH_BASS, 0.4, -2.0),
            v(0.6, Pad, SYNTH_PAD, 0.0, -9.0),
            v(0.4, Ostinato, SYNTH_ANY, 0.0, -7.0),
            v(0.3, Lead, SYNTH_LEAD, 0.0, -7.0),
        ],
        loose: 0.001,
        free: 0.0,
    },
    Style {
        name: "synth",
        weight: 5.0,
        bpm: (75.0, 175.0),
        meters: MOSTLY,
        swing: 0.1,
        drums: 0.7,
        takes: &["dance", "rock"],
        patterns: &["rock", "house", "breaks", "hiphop", "half"],
        voices: &[
            v(0.8, Bass, SYNTH_BASS, 0.1, -3.0),
            v(0.7, Arpeggio, SYNTH_ANY, 0.0, -5.0),
            v(0.6, Lead, SYNTH_LEAD, 0.0, -4.0),
            v(0.5, Pad, SYNTH_PAD, 0.0, -9.0),
            v(0.4, Ostinato, SYNTH_ANY, 0.0, -7.0),
        ],
        loose: 0.0,
        free: 0.0,
    },
    Style {
        name: "latin",
        weight: 5.0,
        bpm: (75.0, 210.0),
        meters: FOUR,
        swing: 0.0,
        drums: 0.95,
        takes: &["latin", "afrocuban"],
        patterns: &["latin", "bossa", "hands"],
        voices: &[
            v(0.9, Bass, BASS, 0.0, -4.0),
            v(0.6, Ostinato, PIANO, 0.0, -5.0),
            v(0.4, Comp, ACOUSTIC, 0.0, -6.0),
            v(0.5, Comp, BRASS, 0.0, -5.0),
            v(0.3, Lead, PIPE, 0.0, -6.0),
        ],
        loose: 0.007,
        free: 0.2,
    },
    Style {
        name: "reggae",
        weight: 3.0,
        bpm: (60.0, 155.0),
        meters: FOUR,
        swing: 0.3,
        drums: 0.95,
        takes: &["reggae"],
        patterns: &["reggae"],
        voices: &[
            v(1.0, Bass, BASS, 0.0, -1.0),
            v(0.8, Offbeat, ELECTRIC, 0.2, -6.0),
            v(0.6, Offbeat, ORGAN, 0.0, -8.0),
            v(0.3, Lead, BRASS, 0.0, -6.0),
        ],
        loose: 0.008,
        free: 0.2,
    },
    Style {
        name: "ska",
        weight: 2.5,
        bpm: (110.0, 200.0),
        meters: FOUR,
        swing: 0.1,
        drums: 0.95,
        takes: &["reggae", "punk"],
        patterns: &["ska", "double"],
        voices: &[
            v(0.8, Walk, BASS, 0.0, -4.0),
            v(0.9, Offbeat, ELECTRIC, 0.3, -4.0),
            v(0.4, Offbeat, PIANO, 0.0, -7.0),
            v(0.6, Lead, BRASS, 0.0, -4.0),
        ],
        loose: 0.008,
        free: 0.2,
    },
    Style {
        name: "jazz",
        weight: 6.0,
        bpm: (60.0, 215.0),
        meters: MIXED,
        swing: 0.85,
        drums: 0.8,
        takes: &["jazz"],
        patterns: &["swing", "bossa"],
        voices: &[
            v(0.9, Walk, DOUBLE_BASS, 0.0, -3.0),
            v(0.7, Comp, PIANO, 0.0, -6.0),
            v(0.3, Comp, &[26, 26, 4], 0.0, -7.0),
            v(0.7, Lead, REED, 0.0, -4.0),
            v(0.3, Lead, BRASS, 0.0, -4.0),
            v(0.15, Lead, &[11, 12], 0.0, -5.0),
        ],
        loose: 0.01,
        free: 0.4,
    },
    Style {
        name: "blues",
        weight: 3.0,
        bpm: (50.0, 150.0),
        meters: &[(0.6, Meter::TWELVE_EIGHT), (0.4, Meter::FOUR)],
        swing: 0.6,
        drums: 0.85,
        takes: &["blues", "rock"],
        patterns: &["shuffle", "rock"],
        voices: &[
            v(0.9, Bass, BASS, 0.1, -4.0),
            v(0.7, Comp, ELECTRIC, 0.5, -6.0),
            v(0.4, Comp, ORGAN, 0.2, -8.0),
            v(0.7, Lead, ELECTRIC, 0.7, -3.0),
            v(0.2, Lead, &[22], 0.3, -4.0),
        ],
        loose: 0.01,
        free: 0.4,
    },
    Style {
        name: "country",
        weight: 3.0,
        bpm: (75.0, 210.0),
        meters: &[(0.75, Meter::FOUR), (0.15, Meter::THREE), (0.1, Meter::TWO)],
        swing: 0.2,
        drums: 0.8,
        takes: &["country"],
        patterns: &["train", "soft"],
        voices: &[
            v(0.9, Bass, BASS, 0.0, -4.0),
            v(0.9, Strum, ACOUSTIC, 0.0, -5.0),
            v(0.5, Arpeggio, &[105, 25], 0.0, -6.0),
            v(0.5, Lead, SOLO_STRING, 0.0, -5.0),
            v(0.3, Lead, ELECTRIC, 0.3, -5.0),
        ],
        loose: 0.009,
        free: 0.3,
    },
    Style {
        name: "folk",
        weight: 9.0,
        bpm: (50.0, 170.0),
        meters: MIXED,
        swing: 0.15,
        drums: 0.2,
        takes: &["country", "pop"],
        patterns: &["soft", "hands", "train"],
        voices: &[
            v(0.7, Strum, ACOUSTIC, 0.0, 0.0),
            v(0.6, Arpeggio, ACOUSTIC, 0.0, -1.0),
            v(0.4, Bass, DOUBLE_BASS, 0.0, -4.0),
            v(0.4, Lead, SOLO_STRING, 0.0, -2.0),
            v(0.3, Lead, PIPE, 0.0, -3.0),
            v(0.2, Comp, REED_ORGAN, 0.0, -4.0),
            v(0.2, Ostinato, PLUCKED, 0.0, -3.0),
        ],
        loose: 0.01,
        free: 0.6,
    },
    Style {
        name: "guitar",
        weight: 5.0,
        bpm: (45.0, 150.0),
        meters: MIXED,
        swing: 0.1,
        drums: 0.0,
        takes: &[],
        patterns: &[],
        voices: &[
            v(0.8, Arpeggio, ACOUSTIC, 0.05, 0.0),
            v(0.5, Strum, ACOUSTIC, 0.05, 0.0),
            v(0.5, Lead, ACOUSTIC, 0.05, 0.0),
        ],
        loose: 0.01,
        free: 0.7,
    },
    Style {
        name: "piano",
        weight: 6.0,
        bpm: (45.0, 170.0),
        meters: MIXED,
        swing: 0.2,
        drums: 0.0,
        takes: &[],
        patterns: &[],
        voices: &[
            v(0.6, Arpeggio, &[0, 1, 4], 0.0, -2.0),
            v(0.6, Comp, &[0, 1, 4], 0.0, -1.0),
            v(0.8, Lead, &[0, 1, 4], 0.0, 0.0),
            v(0.4, Bass, &[0, 1], 0.0, -2.0),
        ],
        loose: 0.01,
        free: 0.7,
    },
    Style {
        name: "chamber",
        weight: 6.0,
        bpm: (45.0, 160.0),
        meters: MIXED,
        swing: 0.0,
        drums: 0.0,
        takes: &[],
        patterns: &[],
        voices: &[
            v(0.8, Lead, SOLO_STRING, 0.0, 0.0),
            v(0.5, Lead, REED, 0.0, -1.0),
            v(0.5, Lead, PIPE, 0.0, -1.0),
            v(0.5, Ostinato, SOLO_STRING, 0.0, -3.0),
            v(0.5, Pad, STRINGS, 0.0, -5.0),
            v(0.4, Arpeggio, PLUCKED, 0.0, -3.0),
            v(0.4, Bass, &[42, 43, 45], 0.0, -3.0),
            v(0.3, Comp, &[6, 0], 0.0, -4.0),
        ],
        loose: 0.012,
        free: 0.7,
    },
    Style {
        name: "orchestra",
        weight: 4.0,
        bpm: (55.0, 165.0),
        meters: MIXED,
        swing: 0.0,
        drums: 0.25,
        takes: &[],
        patterns: &["march", "tribal"],
        voices: &[
            v(0.8, Pad, STRINGS, 0.0, -3.0),
            v(0.6, Lead, BRASS, 0.0, -2.0),
            v(0.6, Lead, STRINGS, 0.0, -1.0),
            v(0.5, Ostinato, STRINGS, 0.0, -3.0),
            v(0.5, Bass, &[43, 58, 47], 0.0, -3.0),
            v(0.4, Ostinato, &[45, 9, 13], 0.0, -5.0),
            v(0.3, Tremolo, &[44, 47], 0.0, -6.0),
            v(0.3, Pad, CHOIR, 0.0, -5.0),
        ],
        loose: 0.01,
        free: 0.5,
    },
    Style {
        name: "choir",
        weight: 2.5,
        bpm: (50.0, 120.0),
        meters: MIXED,
        swing: 0.0,
        drums: 0.05,
        takes: &[],
        patterns: &["soft"],
        voices: &[
            v(0.9, Pad, CHOIR, 0.0, 0.0),
            v(0.6, Lead, CHOIR, 0.0, -1.0),
            v(0.5, Comp, REED_ORGAN, 0.0, -3.0),
        ],
        loose: 0.012,
        free: 0.6,
    },
    Style {
        name: "ambient",
        weight: 2.5,
        bpm: (50.0, 120.0),
        meters: MOSTLY,
        swing: 0.0,
        drums: 0.25,
        takes: &["hiphop"],
        patterns: &["soft", "half"],
        voices: &[
            v(1.0, Pad, SYNTH_PAD, 0.0, -1.0),
            v(0.5, Arpeggio, MALLET, 0.0, -5.0),
            v(0.4, Lead, SYNTH_PAD, 0.0, -3.0),
            v(0.4, Bass, SYNTH_BASS, 0.0, -5.0),
        ],
        loose: 0.004,
        free: 0.2,
    },
    Style {
        name: "march",
        weight: 2.0,
        bpm: (90.0, 140.0),
        meters: &[
            (0.6, Meter::TWO),
            (0.2, Meter::FOUR),
            (0.2, Meter::SIX_EIGHT),
        ],
        swing: 0.0,
        drums: 0.7,
        takes: &[],
        patterns: &["two", "march", "six"],
        voices: &[
            v(0.9, Bass, &[58, 43], 0.0, -3.0),
            v(0.9, Offbeat, &[60, 61, 21], 0.0, -5.0),
            v(0.9, Lead, &[56, 71, 21, 72], 0.0, -2.0),
        ],
        loose: 0.008,
        free: 0.3,
    },
    Style {
        name: "waltz",
        weight: 2.5,
        bpm: (80.0, 205.0),
        meters: &[(1.0, Meter::THREE)],
        swing: 0.1,
        drums: 0.5,
        takes: &["jazz", "rock", "country", "blues", "latin"],
        patterns: &["waltz"],
        voices: &[
            v(0.9, Bass, DOUBLE_BASS, 0.0, -3.0),
            v(0.8, Comp, PIANO, 0.0, -5.0),
            v(0.7, Lead, &[21, 40, 71, 73, 65], 0.0, -2.0),
            v(0.4, Strum, ACOUSTIC, 0.0, -5.0),
        ],
        loose: 0.01,
        free: 0.5,
    },
    Style {
        name: "world",
        weight: 3.5,
        bpm: (60.0, 190.0),
        meters: MIXED,
        swing: 0.1,
        drums: 0.85,
        takes: &["middleeastern", "afrobeat", "highlife", "afrocuban"],
        patterns: &["hands", "six", "tribal", "latin"],
        voices: &[
            v(0.6, Ostinato, PLUCKED, 0.0, -3.0),
            v(0.5, Lead, PIPE, 0.0, -4.0),
            v(0.4, Lead, REED, 0.0, -4.0),
            v(0.4, Ostinato, MALLET, 0.0, -4.0),
            v(0.3, Bass, BASS, 0.0, -4.0),
        ],
        loose: 0.01,
        free: 0.4,
    },
];
