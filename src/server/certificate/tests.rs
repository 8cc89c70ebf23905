use super::*;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use std::sync::Arc;

fn own(folder: &Path) -> Result<Identity, CertificateError> {
    load_or_create(folder, &[], None, None)
}

/// A whole TLS 1.3 handshake in memory between a server with `identity` and a client that trusts
/// nothing but the certificates in `roots`.
fn handshake(identity: Identity, roots: &Path, name: &str) -> Result<(), TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)?;
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(roots).unwrap() {
        store.add(certificate.unwrap())?;
    }
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(store)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name)?;
    let mut server = ServerConnection::new(Arc::new(server))?;
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        server.read_tls(&mut bytes.as_slice()).unwrap();
        server.process_new_packets()?;
        bytes.clear();
        server.write_tls(&mut bytes).unwrap();
        client.read_tls(&mut bytes.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok(())
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_client_that_trusts_cert_pem_connects_by_every_local_name() {
    let folder = tempfile::tempdir().unwrap();
    let names = [
        "192.0.2.7".to_owned(),
        "0.0.0.0".to_owned(),
        "calls.example".to_owned(),
    ];
    load_or_create(folder.path(), &names, None, None).unwrap();
    let roots = folder.path().join(CERTIFICATE_FILE);
    for name in [
        "localhost",
        "127.0.0.1",
        "::1",
        "192.0.2.7",
        "calls.example",
    ] {
        let identity = own(folder.path()).unwrap();
        assert_eq!(handshake(identity, &roots, name), Ok(()), "{name}");
    }
    for name in ["elsewhere.example", "0.0.0.0"] {
        let refused = handshake(own(folder.path()).unwrap(), &roots, name);
        assert!(
            matches!(refused, Err(TlsError::InvalidCertificate(_))),
            "{name}: {refused:?}"
        );
    }
}

#[test]
fn a_client_that_trusts_another_server_does_not_connect() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    own(other.path()).unwrap();
    let roots = other.path().join(CERTIFICATE_FILE);
    let refused = handshake(own(one.path()).unwrap(), &roots, "localhost");
    assert!(
        matches!(refused, Err(TlsError::InvalidCertificate(_))),
        "{refused:?}"
    );
}

#[test]
fn the_next_start_has_the_same_pair_even_for_another_listen_address() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("not/there/yet");
    let first = own(&inner).unwrap();
    let second = load_or_create(&inner, &["192.0.2.7".to_owned()], None, None).unwrap();
    assert_eq!(first.chain, second.chain);
    assert_eq!(first.key, second.key);
    let mut files: Vec<_> = fs::read_dir(&inner)
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    files.sort();
    assert_eq!(
        files,
        [CERTIFICATE_FILE, KEY_FILE],
        "and no temporary file is left"
    );
}

#[cfg(unix)]
#[test]
fn only_the_owner_reads_the_key() {
    let folder = tempfile::tempdir().unwrap();
    // What a crash left half done, readable by all, must not become the key.
    fs::write(folder.path().join("key.pem.new"), "half").unwrap();
    own(folder.path()).unwrap();
    assert_eq!(mode(&folder.path().join(KEY_FILE)), 0o600);
    assert_eq!(mode(&folder.path().join(CERTIFICATE_FILE)), 0o644);
}

#[test]
fn half_a_pair_is_an_error_that_touches_nothing() {
    for (gone, left) in [(CERTIFICATE_FILE, KEY_FILE), (KEY_FILE, CERTIFICATE_FILE)] {
        let folder = tempfile::tempdir().unwrap();
        own(folder.path()).unwrap();
        fs::remove_file(folder.path().join(gone)).unwrap();
        let before = fs::read(folder.path().join(left)).unwrap();
        let text = own(folder.path()).unwrap_err().to_string();
        assert!(
            text.contains(gone) && text.contains(left) && text.contains("delete"),
            "{text}"
        );
        assert_eq!(fs::read(folder.path().join(left)).unwrap(), before);
        assert!(!folder.path().join(gone).exists());
    }
}

#[test]
fn a_damaged_file_is_named_and_kept() {
    for name in [CERTIFICATE_FILE, KEY_FILE] {
        for damage in [
            "",
            "rubbish",
            "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
        ] {
            let folder = tempfile::tempdir().unwrap();
            own(folder.path()).unwrap();
            let path = folder.path().join(name);
            fs::write(&path, damage).unwrap();
            let error = own(folder.path()).unwrap_err();
            assert!(
                matches!(error, CertificateError::Malformed { .. }),
                "{error}"
            );
            let text = error.to_string();
            assert!(
                text.contains(&*path.to_string_lossy()) && text.contains("delete"),
                "{text}"
            );
            assert_eq!(fs::read_to_string(&path).unwrap(), damage);
        }
    }
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    own(one.path()).unwrap();
    own(other.path()).unwrap();
    fs::copy(other.path().join(KEY_FILE), one.path().join(KEY_FILE)).unwrap();
    let error = own(one.path()).unwrap_err();
    assert!(
        matches!(error, CertificateError::Mismatch { .. }),
        "{error}"
    );
}

#[test]
fn a_given_pair_is_used_and_its_certificate_alone_is_copied() {
    let (source, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let made = load_or_create(source.path(), &["calls.example".to_owned()], None, None).unwrap();
    let (cert, key) = (
        source.path().join(CERTIFICATE_FILE),
        source.path().join(KEY_FILE),
    );
    // Both in one file, as some tools write them.
    let both = source.path().join("both.pem");
    let text = fs::read_to_string(&key).unwrap() + &fs::read_to_string(&cert).unwrap();
    fs::write(&both, text).unwrap();
    own(data.path()).unwrap();
    let own_key = fs::read(data.path().join(KEY_FILE)).unwrap();

    let given = load_or_create(data.path(), &[], Some(&both), Some(&both)).unwrap();

    assert_eq!(given.chain, made.chain);
    let copy = data.path().join(CERTIFICATE_FILE);
    assert!(!fs::read_to_string(&copy).unwrap().contains("PRIVATE"));
    assert_eq!(handshake(given, &copy, "calls.example"), Ok(()));
    assert_eq!(
        fs::read(data.path().join(KEY_FILE)).unwrap(),
        own_key,
        "no key is overwritten"
    );
}

#[test]
fn a_certificate_without_its_key_or_from_nowhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere.pem");
    for (cert, key, named) in [
        (Some(nowhere.as_path()), None, "--key"),
        (None, Some(nowhere.as_path()), "--cert"),
        (
            Some(nowhere.as_path()),
            Some(nowhere.as_path()),
            "nowhere.pem",
        ),
    ] {
        let text = load_or_create(folder.path(), &[], cert, key)
            .unwrap_err()
            .to_string();
        assert!(text.contains(named), "{text}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_listen_name_that_is_none_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let error = load_or_create(folder.path(), &["caf\u{e9}".to_owned()], None, None).unwrap_err();
    assert!(matches!(error, CertificateError::NotMade { .. }), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
