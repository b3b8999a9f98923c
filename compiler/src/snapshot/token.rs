//! Tokens of a sandbox besides its own: the one before, and those that a control service signs.

/// For whom signed tokens are.
pub const SIGNED_AUDIENCE: &str = "sallygate-proxy";
/// Who signs them.
pub const SIGNED_ISSUER: &str = "sallygate-control";

/// Tokens besides the one that a sandbox has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MoreTokens {
    pub former: Option<FormerToken>,
    pub signer: Option<Signer>,
}

/// The token before, while both are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormerToken {
    pub sha256: [u8; 32],
    /// Seconds since 1970.
    pub until_unix: i64,
}

/// Whose signatures are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signer {
    /// Ed25519.
    pub public_key: [u8; 32],
    /// Of the tokens that are good: another one ends all that were signed before.
    pub generation: i64,
    /// Until when those of the generation before are good as well.
    pub former_until_unix: Option<i64>,
}

impl Signer {
    /// Until when a token of this generation is good that says that it is until `until_unix`;
    /// `None`: it is not good at all.
    pub fn until(&self, generation: i64, until_unix: i64) -> Option<i64> {
        if generation == self.generation {
            return Some(until_unix);
        }
        let is_former = generation.checked_add(1) == Some(self.generation);
        self.former_until_unix.filter(|_| is_former).map(|former| former.min(until_unix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_in_its_generation_and_for_a_while_in_the_next() {
        let signer = |generation, former_until_unix| Signer {
            public_key: [0; 32],
            generation,
            former_until_unix,
        };
        assert_eq!(signer(3, None).until(3, 100), Some(100));
        assert_eq!(signer(4, Some(50)).until(3, 100), Some(50));
        assert_eq!(signer(4, Some(500)).until(3, 100), Some(100));
        for (now, of) in [(4, 3), (3, 4), (5, 3), (i64::MIN, i64::MAX)] {
            assert_eq!(signer(now, None).until(of, 100), None, "{of} in {now}");
        }
        for (now, of) in [(3, 4), (5, 3), (i64::MIN, i64::MAX)] {
            assert_eq!(signer(now, Some(50)).until(of, 100), None, "{of} in {now}");
        }
    }
}
