//! Where connections come from: how many from one place, and which places have shown that they are
//! their own.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use quinn::{TokenLog, TokenReuseError, ValidationTokenConfig};
use ring::hkdf;
use rustls::pki_types::PrivateKeyDer;

/// Most connections.
const CONNECTIONS_MAX: usize = 65_536;
/// Most connections from one address; of IPv6, from one network of 64 bits, which is what one
/// subscriber has.
const CONNECTIONS_PER_ADDRESS_MAX: usize = 4_096;
/// Most tokens of addresses that are remembered as used. When there are more, the older half is
/// forgotten; one of those could be used again, from its address.
const TOKENS_USED_MAX: usize = 65_536;
/// A token of an address is good for this long.
const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// How many a device is given with each connection.
const TOKENS: u32 = 2;

/// Who is connected from where.
#[derive(Default)]
pub(super) struct Census {
    per_address: BTreeMap<IpAddr, usize>,
    total: usize,
    handshakes: usize,
}

impl Census {
    /// How many handshakes are under way.
    pub(super) fn handshakes(census: &Mutex<Self>) -> usize {
        let counts = census.lock().unwrap_or_else(PoisonError::into_inner);
        counts.handshakes
    }
}

/// A connection's place in the census, given back when dropped.
pub(super) struct Place {
    census: Arc<Mutex<Census>>,
    address: IpAddr,
    in_handshake: bool,
}

impl Place {
    /// Takes a place, or says which bound is reached.
    pub(super) fn take(census: &Arc<Mutex<Census>>, address: IpAddr) -> Result<Self, &'static str> {
        let address = counted(address);
        let mut counts = census.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.total >= CONNECTIONS_MAX {
            return Err("too many connections");
        }
        let here = counts.per_address.entry(address).or_default();
        if *here >= CONNECTIONS_PER_ADDRESS_MAX {
            return Err("too many connections from this address");
        }
        *here += 1;
        counts.total += 1;
        counts.handshakes += 1;
        Ok(Self {
            census: Arc::clone(census),
            address,
            in_handshake: true,
        })
    }

    /// Its handshake is complete.
    pub(super) fn handshake_done(&mut self) {
        if std::mem::take(&mut self.in_handshake) {
            let mut counts = self.census.lock().unwrap_or_else(PoisonError::into_inner);
            counts.handshakes -= 1;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.handshake_done();
        let mut counts = self.census.lock().unwrap_or_else(PoisonError::into_inner);
        counts.total -= 1;
        if let Some(here) = counts.per_address.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                counts.per_address.remove(&self.address);
            }
        }
    }
}

/// What is counted as one address.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            Ipv6Addr::from_bits(network).into()
        }
    }
}

/// What tokens of addresses are sealed with. Made of the certificate's key, so that they are good over
/// a restart.
pub(super) fn token_key(key: &PrivateKeyDer<'_>) -> hkdf::Prk {
    hkdf::Salt::new(hkdf::HKDF_SHA256, b"offhook address tokens").extract(key.secret_der())
}

/// A device that comes back from where it was shows a token of its address, and then may be sent more
/// than three times what it sent, at once, and is not asked to prove itself under load.
pub(super) fn token_rules() -> ValidationTokenConfig {
    let mut rules = ValidationTokenConfig::default();
    rules
        .lifetime(TOKEN_LIFETIME)
        .log(Arc::new(UsedTokens::default()))
        .sent(TOKENS);
    rules
}

/// Tokens that were shown, in two halves, so that a full one can go at once.
#[derive(Default)]
struct UsedTokens(Mutex<[HashSet<u128>; 2]>);

impl TokenLog for UsedTokens {
    fn check_and_insert(
        &self,
        nonce: u128,
        _issued: SystemTime,
        _lifetime: Duration,
    ) -> Result<(), TokenReuseError> {
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [newer, older] = &mut *halves;
        if older.contains(&nonce) || !newer.insert(nonce) {
            return Err(TokenReuseError);
        }
        if newer.len() >= TOKENS_USED_MAX / 2 {
            *older = std::mem::take(newer);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_subscriber_counts_as_one_address() {
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8::1", "2001:db8::ffff:0:0:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            let both = (counted(address(one)), counted(address(other)));
            assert_eq!(both.0 == both.1, same, "{one} {other}");
        }
    }

    #[test]
    fn a_network_that_is_full_takes_no_more_and_others_do() {
        let census = Arc::new(Mutex::new(Census::default()));
        let mut places: Vec<Place> = (0..CONNECTIONS_PER_ADDRESS_MAX)
            .map(|n| Place::take(&census, address(&format!("2001:db8::{n:x}"))).unwrap())
            .collect();
        assert!(Place::take(&census, address("2001:db8::aaaa")).is_err());
        assert!(Place::take(&census, address("2001:db8:0:1::1")).is_ok());
        places.pop();
        assert!(Place::take(&census, address("2001:db8::aaaa")).is_ok());
    }

    #[test]
    fn a_token_is_good_once_and_what_is_remembered_is_bounded() {
        let used = UsedTokens::default();
        let shown = |nonce| used.check_and_insert(nonce, SystemTime::UNIX_EPOCH, TOKEN_LIFETIME);
        let count = u128::try_from(TOKENS_USED_MAX).unwrap();
        for nonce in 0..3 * count {
            assert!(shown(nonce).is_ok());
            assert!(shown(nonce).is_err());
        }
        let remembered: usize = used.0.lock().unwrap().iter().map(HashSet::len).sum();
        assert!(remembered <= TOKENS_USED_MAX);
        assert!(shown(3 * count - count / 2).is_err());
    }
}
