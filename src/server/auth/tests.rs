use super::*;

const NOW_MS: i64 = 1_900_000_000_000;
const LATER_MS: i64 = 2_000_000_000_000;
const SECRET: &[u8] = b"correct horse battery";

// Made with openssl and Python's hmac: {"sub":"alice","exp":2000000000} in both tokens.
const OPENSSL_PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIHF24crFlRtAQb8vLmmmnjuqQxbTUJadfM6K71E02HSx
-----END PRIVATE KEY-----
";
const OPENSSL_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAQOY/guYp3otRgffxFJTzo1iGlJFXEvdd0YscQ+xyzkM=
-----END PUBLIC KEY-----
";
const OPENSSL_TOKEN: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFZERTQSJ9.\
    eyJzdWIiOiJhbGljZSIsImV4cCI6MjAwMDAwMDAwMH0.\
    ZgOdaj79H7Wg2uLlsGE2ppBqwTNXvyb6RtzeH1VUxdhZ2XNF04fIEH2lnhHkaIHf4XkyQZpaT2b_32VlPAeODA";
const HMAC_TOKEN: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.\
    eyJzdWIiOiJhbGljZSIsImV4cCI6MjAwMDAwMDAwMH0.\
    rLt-1KpflctpJC2cU6rVEJBHixlwL8TM8D4SI519DdI";

fn keys(content: impl AsRef<[u8]>) -> Keys {
    Keys::parse(content.as_ref()).unwrap()
}

fn alice() -> Claims {
    Claims {
        user: "alice".to_owned(),
        expires_ms: LATER_MS,
    }
}

/// A token with any header and claims, signed as a shared secret would.
fn hs256(header: &str, claims: &str, secret: &[u8]) -> String {
    let message = format!(
        "{}.{}",
        base64url(header.as_bytes()),
        base64url(claims.as_bytes())
    );
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
    let tag = ring::hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", base64url(tag.as_ref()))
}

fn base64url(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut word = [0u8; 3];
        word[..chunk.len()].copy_from_slice(chunk);
        let number = u32::from_be_bytes([0, word[0], word[1], word[2]]);
        for place in 0..=chunk.len() {
            text.push(char::from(
                LETTERS[(number >> (18 - 6 * place)) as usize & 63],
            ));
        }
    }
    text
}

const HS256: &str = r#"{"alg":"HS256"}"#;

#[test]
fn tokens_of_other_tools_are_good() {
    assert_eq!(keys(SECRET).verify(HMAC_TOKEN, NOW_MS), Ok(alice()));
    assert_eq!(
        keys(OPENSSL_PUBLIC).verify(OPENSSL_TOKEN, NOW_MS),
        Ok(alice())
    );
    assert_eq!(
        keys(OPENSSL_PRIVATE).verify(OPENSSL_TOKEN, NOW_MS),
        Ok(alice())
    );
}

#[test]
fn what_is_signed_can_be_checked() {
    let made = generate().unwrap();
    let private = keys(&made.private_pem);
    let token = private.sign("alice", LATER_MS).unwrap();
    assert_eq!(private.verify(&token, NOW_MS), Ok(alice()));
    assert_eq!(keys(&made.public_pem).verify(&token, NOW_MS), Ok(alice()));
    let token = keys(SECRET).sign("alice", LATER_MS + 999).unwrap();
    assert_eq!(
        token, HMAC_TOKEN,
        "whole seconds, and nothing in it but sub and exp"
    );
}

#[test]
fn a_public_key_signs_nothing() {
    let refused = keys(OPENSSL_PUBLIC).sign("alice", LATER_MS).unwrap_err();
    assert!(matches!(refused, SignError::PublicKey), "{refused}");
}

#[test]
fn two_pairs_are_never_the_same() {
    let (one, other) = (generate().unwrap(), generate().unwrap());
    assert_ne!(one.private_pem, other.private_pem);
    let token = keys(&one.private_pem).sign("alice", LATER_MS).unwrap();
    assert_eq!(
        keys(&other.public_pem).verify(&token, NOW_MS),
        Err(TokenError::Forged)
    );
}

#[test]
fn a_token_ends_at_the_millisecond_it_says_by_the_time_given() {
    let key = keys(SECRET);
    assert_eq!(key.verify(HMAC_TOKEN, LATER_MS - 1), Ok(alice()));
    assert_eq!(
        key.verify(HMAC_TOKEN, LATER_MS),
        Err(TokenError::Expired { at_ms: LATER_MS })
    );
    // Long gone by any real clock, and good at the time given.
    let old = key.sign("alice", 2_000).unwrap();
    assert_eq!(key.verify(&old, 1_999).unwrap().expires_ms, 2_000);
}

#[test]
fn forged_and_expired_is_forged() {
    let other = keys(b"another secret of some length");
    assert_eq!(
        other.verify(HMAC_TOKEN, LATER_MS + 1),
        Err(TokenError::Forged)
    );
    let changed = HMAC_TOKEN.replace(".eyJ", ".eyK");
    assert_eq!(
        keys(SECRET).verify(&changed, LATER_MS + 1),
        Err(TokenError::Forged)
    );
}

#[test]
fn the_key_decides_the_algorithm() {
    // The classic: the public key, known to all, used as the secret of an HS256 token.
    let claims = r#"{"sub":"alice","exp":2000000000}"#;
    for secret in [
        OPENSSL_PUBLIC.as_bytes(),
        OPENSSL_PUBLIC.trim_end().as_bytes(),
    ] {
        let confused = hs256(HS256, claims, secret);
        assert_eq!(
            keys(OPENSSL_PUBLIC).verify(&confused, NOW_MS),
            Err(TokenError::Forged)
        );
    }
    assert_eq!(
        keys(SECRET).verify(OPENSSL_TOKEN, NOW_MS),
        Err(TokenError::Forged)
    );
    for algorithm in ["HS384", "HS512", "RS256", "ES256", "EdDSA"] {
        let token = hs256(&format!(r#"{{"alg":"{algorithm}"}}"#), claims, SECRET);
        assert_eq!(
            keys(SECRET).verify(&token, NOW_MS),
            Err(TokenError::Forged),
            "{algorithm}"
        );
    }
    for none in ["none", "None", ""] {
        let token = hs256(&format!(r#"{{"alg":"{none}"}}"#), claims, SECRET);
        let unsigned = format!("{}.", token.rsplit_once('.').unwrap().0);
        for token in [token, unsigned] {
            let refused = keys(SECRET).verify(&token, NOW_MS);
            assert!(
                matches!(refused, Err(TokenError::Malformed(_))),
                "{none}: {refused:?}"
            );
        }
    }
}

#[test]
fn sub_and_exp_are_required_and_of_their_types() {
    for (claims, named) in [
        (r#"{"exp":2000000000}"#, "sub"),
        (r#"{"sub":"","exp":2000000000}"#, "sub"),
        (r#"{"sub":7,"exp":2000000000}"#, "string"),
        (r#"{"sub":"alice"}"#, "exp"),
        (r#"{"sub":"alice","exp":"2000000000"}"#, "f64"),
        (
            r#"{"sub":"alice","sub":"bob","exp":2000000000}"#,
            "duplicate",
        ),
        ("[]", "length"),
        ("not json", "JSON"),
    ] {
        match keys(SECRET).verify(&hs256(HS256, claims, SECRET), NOW_MS) {
            Err(TokenError::Malformed(text)) => assert!(text.contains(named), "{claims}: {text}"),
            other => panic!("{claims}: {other:?}"),
        }
    }
}

#[test]
fn unknown_claims_and_fractions_are_fine_and_not_before_is_heeded() {
    let key = keys(SECRET);
    let token = hs256(
        HS256,
        r#"{"sub":"alice","exp":2000000000.5,"aud":"x","iat":1,"y":[]}"#,
        SECRET,
    );
    assert_eq!(
        key.verify(&token, NOW_MS).unwrap().expires_ms,
        LATER_MS + 500
    );
    let early = hs256(
        HS256,
        r#"{"sub":"alice","exp":2000000000,"nbf":1900000061}"#,
        SECRET,
    );
    let from_ms = NOW_MS + 61_000;
    assert_eq!(
        key.verify(&early, NOW_MS),
        Err(TokenError::NotYetValid { from_ms })
    );
    assert_eq!(key.verify(&early, NOW_MS + 1_000), Ok(alice()));
    let endless = hs256(HS256, r#"{"sub":"alice","exp":1e300}"#, SECRET);
    assert_eq!(key.verify(&endless, NOW_MS).unwrap().expires_ms, i64::MAX);
}

#[test]
fn what_is_no_token_is_malformed() {
    for text in [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "\u{1f600}",
        &HMAC_TOKEN[..40],
    ] {
        let refused = keys(SECRET).verify(text, NOW_MS);
        assert!(
            matches!(refused, Err(TokenError::Malformed(_))),
            "{text}: {refused:?}"
        );
    }
    let critical = hs256(
        r#"{"alg":"HS256","crit":["x"]}"#,
        r#"{"sub":"a","exp":2000000000}"#,
        SECRET,
    );
    assert!(matches!(
        keys(SECRET).verify(&critical, NOW_MS),
        Err(TokenError::Malformed(_))
    ));
}

#[test]
fn a_secret_loses_one_line_end_and_must_be_long_enough() {
    for ending in ["", "\n", "\r\n"] {
        let content = [SECRET, ending.as_bytes()].concat();
        assert_eq!(
            keys(content).verify(HMAC_TOKEN, NOW_MS),
            Ok(alice()),
            "{ending:?}"
        );
    }
    let refused = Keys::parse(b"fifteen bytes..\n").unwrap_err();
    assert_eq!(refused, KeyProblem::ShortSecret { bytes: 15 });
    assert!(Keys::parse(b"sixteen bytes...\n").is_ok());
}

#[test]
fn what_looks_like_another_key_is_not_taken_for_a_secret() {
    for label in [
        "CERTIFICATE",
        "RSA PUBLIC KEY",
        "EC PRIVATE KEY",
        "ENCRYPTED PRIVATE KEY",
    ] {
        let text = format!(
            "# a comment\n-----BEGIN {label}-----\nMAAwADAAMAAwADAA\n-----END {label}-----\n"
        );
        let refused = Keys::parse(text.as_bytes()).unwrap_err();
        assert_eq!(
            refused,
            KeyProblem::OtherPem {
                label: label.to_owned()
            }
        );
    }
    let rsa = "-----BEGIN PUBLIC KEY-----\nMAAwADAAMAAwADAA\n-----END PUBLIC KEY-----\n";
    assert_eq!(
        Keys::parse(rsa.as_bytes()).unwrap_err(),
        KeyProblem::NotEd25519
    );
    let cut = &OPENSSL_PRIVATE[..40];
    assert!(matches!(
        Keys::parse(cut.as_bytes()),
        Err(KeyProblem::BadPem { .. })
    ));
}

#[test]
fn a_missing_key_file_is_named() {
    let text = Keys::load(Path::new("no-such-folder/no.key"))
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("no-such-folder/no.key") && text.contains("keygen"),
        "{text}"
    );
}

#[test]
fn nothing_of_a_key_is_shown_by_debug() {
    assert_eq!(format!("{:?}", keys(SECRET)), "Keys::Secret");
    assert_eq!(
        format!("{:?}", Auth::Keys(keys(OPENSSL_PRIVATE))),
        "Keys(Keys::Private)"
    );
}

#[test]
fn with_keys_only_the_token_s_own_user_comes_in() {
    let auth = Auth::Keys(keys(SECRET));
    let admitted = Admitted {
        expires_ms: Some(LATER_MS),
    };
    assert_eq!(auth.admit("alice", Some(HMAC_TOKEN), NOW_MS), Ok(admitted));
    let token_user = "alice".to_owned();
    for user in ["bob", "Alice", "alice "] {
        let refused = auth.admit(user, Some(HMAC_TOKEN), NOW_MS);
        assert_eq!(
            refused,
            Err(TokenError::OtherUser {
                token_user: token_user.clone()
            })
        );
    }
    assert_eq!(auth.admit("alice", None, NOW_MS), Err(TokenError::Missing));
    assert_eq!(
        auth.admit("alice", Some(""), NOW_MS),
        Err(TokenError::Missing)
    );
}

#[test]
fn without_keys_names_are_trusted_and_tokens_not_looked_at() {
    let admitted = Ok(Admitted { expires_ms: None });
    assert_eq!(Auth::TrustNames.admit("alice", None, NOW_MS), admitted);
    assert_eq!(
        Auth::TrustNames.admit("alice", Some("rubbish"), NOW_MS),
        admitted
    );
}

#[test]
fn issue_reads_the_file_and_counts_from_now() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, SECRET).unwrap();
    let token = issue(&file, "alice", 3_600, NOW_MS).unwrap();
    let claims = Keys::load(&file).unwrap().verify(&token, NOW_MS).unwrap();
    assert_eq!(
        claims,
        Claims {
            user: "alice".to_owned(),
            expires_ms: NOW_MS + 3_600_000
        }
    );
}
