//! Names for containers whose user gave none: an adjective and a person of engineering, joined by an underscore.

const LEFT: &[&str] = &[
    "able", "amber", "bold", "brave", "brisk", "calm", "candid", "clear", "clever", "cosy", "crisp", "daring", "deft",
    "eager", "early", "fair", "fleet", "fond", "frank", "fresh", "gentle", "glad", "golden", "grand", "happy", "hardy",
    "honest", "humble", "jolly", "keen", "kind", "lively", "loyal", "lucid", "mellow", "merry", "mild", "modest",
    "nimble", "noble", "patient", "placid", "plucky", "polite", "proud", "quick", "quiet", "rapid", "ready", "robust",
    "serene", "sharp", "silver", "simple", "sincere", "sleek", "smart", "snug", "sober", "solid", "spry", "steady",
    "stoic", "sturdy", "sunny", "swift", "tender", "tidy", "trusty", "upbeat", "vivid", "warm", "wise", "witty",
    "young", "zesty",
];

const RIGHT: &[&str] = &[
    "ada",
    "aiken",
    "armstrong",
    "arup",
    "babbage",
    "baird",
    "bazalgette",
    "bell",
    "benz",
    "bessemer",
    "booth",
    "boulton",
    "bramah",
    "brunel",
    "carnot",
    "cayley",
    "cerf",
    "clarke",
    "cugnot",
    "curie",
    "daimler",
    "darby",
    "davy",
    "diesel",
    "dijkstra",
    "eads",
    "edison",
    "eiffel",
    "ellet",
    "faraday",
    "fessenden",
    "finley",
    "floyd",
    "fulton",
    "germain",
    "goddard",
    "hamilton",
    "harrison",
    "heron",
    "hollerith",
    "hopper",
    "hughes",
    "jacquard",
    "jenner",
    "joule",
    "kaplan",
    "kelvin",
    "kilby",
    "knuth",
    "lamarr",
    "lamport",
    "lenoir",
    "liskov",
    "lovelace",
    "marconi",
    "maudslay",
    "mccarthy",
    "meitner",
    "morse",
    "nasmyth",
    "navier",
    "newcomen",
    "noether",
    "otis",
    "papin",
    "parsons",
    "pascal",
    "pelton",
    "perlman",
    "poulsen",
    "rennie",
    "ritchie",
    "roebling",
    "savery",
    "shannon",
    "siemens",
    "smeaton",
    "stephenson",
    "telford",
    "tesla",
    "thompson",
    "torvalds",
    "trevithick",
    "turing",
    "volta",
    "watt",
    "whittle",
    "wilkes",
    "wirth",
    "zuse",
];

/// A name chosen by two random numbers; from the second try on with a digit behind it.
pub fn generate(random: [u8; 4], tries: u32) -> String {
    let left = LEFT[usize::from(u16::from_le_bytes([random[0], random[1]])) % LEFT.len()];
    let right = RIGHT[usize::from(u16::from_le_bytes([random[2], random[3]])) % RIGHT.len()];
    if tries == 0 { format!("{left}_{right}") } else { format!("{left}_{right}{tries}") }
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_valid() {
        for byte in 0..=255u8 {
            assert!(gantry_model::ids::is_valid_name(&super::generate([byte, 0, byte, 1], u32::from(byte % 3))));
        }
    }
}
