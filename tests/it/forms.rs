//! The forms a generation is written in: what is in which file, and that other people's readers open them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use certroll::certificate::{Certificate, KeyKind};
use certroll::desired::{Form, Format, Password, PfxProfile};
use certroll::form::{FormError, IdentityError, RenderedFile, cer, read_pem, read_pfx, render};
use certroll::issuer::Issued;
use certroll::key::{LocalSigner, PrivateKey, Secret};
use certroll::random::{SystemRandom, generate_password};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::issuers::{issue, key, request};
use crate::tools::{check_forms, printed, run};

pub(crate) const NOW: &str = "2026-11-20T00:00:00Z";
const TRICKY: &str = "pass-wörd \"$`\\'<&";

async fn pair() -> (PrivateKey, Issued) {
    let key = key(KeyKind::Rsa2048).await;
    let issued = issue(&request(NOW), &key).await;
    (key, issued)
}

/// A leaf below an intermediate below a root; the chain is given without the root.
pub(crate) async fn chained_pair() -> (PrivateKey, Issued, Certificate) {
    let authority = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params, KeyPair::generate().unwrap())
    };
    let (params, root_key) = authority("Root");
    let root = CertifiedIssuer::self_signed(params, root_key).unwrap();
    let (params, middle_key) = authority("Middle");
    let middle = CertifiedIssuer::signed_by(params, middle_key, &root).unwrap();
    let key = key(KeyKind::Rsa2048).await;
    let leaf_key = KeyPair::try_from(key.expose_pkcs8()).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Leaf");
    let leaf = params.signed_by(&leaf_key, &middle).unwrap();
    let read = |der: &[u8]| Certificate::from_der(der).unwrap();
    (key, Issued { certificate: read(leaf.der()), chain: vec![read(middle.der())] }, read(root.der()))
}

fn form(format: Format, profile: PfxProfile, password: Password) -> Form {
    Form { format, profile, password }
}

fn plain(format: Format) -> Form {
    form(format, PfxProfile::Modern2023, Password::None)
}

fn only(mut files: Vec<RenderedFile>) -> RenderedFile {
    assert_eq!(files.len(), 1);
    files.remove(0)
}

#[tokio::test]
async fn every_form_has_its_files_and_says_which_are_secret() {
    let (key, issued) = pair().await;
    let listing = |format| -> Vec<(String, bool)> {
        let files = render(&plain(format), &key, &issued, None, "cloudm").unwrap();
        files.into_iter().map(|file| (file.name, file.secret)).collect()
    };
    let one = |name: &str, secret| vec![(name.to_owned(), secret)];
    assert_eq!(listing(Format::Pem), one("cloudm.pem", true));
    assert_eq!(listing(Format::Pfx), one("cloudm.pfx", true));
    assert_eq!(listing(Format::PemBase64), one("cloudm.pem.b64", true));
    assert_eq!(listing(Format::PfxBase64), one("cloudm.pfx.b64", true));
    assert_eq!(listing(Format::Cer), one("cloudm.cer", false));
    assert_eq!(listing(Format::PemPair), [("cloudm.crt".to_owned(), false), ("cloudm.key".to_owned(), true)]);
}

#[tokio::test]
async fn the_public_files_hold_no_part_of_the_key() {
    let (key, issued) = pair().await;
    let cer_file = only(render(&plain(Format::Cer), &key, &issued, None, "x").unwrap());
    // CC-05: DER, public only; `cer` takes a certificate and nothing else.
    assert_eq!(*cer_file.contents, cer(&issued.certificate));
    assert_eq!(Certificate::from_der(&cer_file.contents).unwrap(), issued.certificate);
    let files = render(&plain(Format::PemPair), &key, &issued, None, "x").unwrap();
    assert!(!String::from_utf8_lossy(&files[0].contents).contains("PRIVATE"));
}

#[tokio::test]
async fn tm_13_base64_is_one_line_and_gives_the_same_bytes_back() {
    let (key, issued) = pair().await;
    let pem = only(render(&plain(Format::Pem), &key, &issued, None, "x").unwrap());
    let line = only(render(&plain(Format::PemBase64), &key, &issued, None, "x").unwrap());
    assert!(line.contents.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte)));
    assert_eq!(STANDARD.decode(&line.contents).unwrap(), *pem.contents);

    let line = only(render(&plain(Format::PfxBase64), &key, &issued, None, "x").unwrap());
    assert!(line.contents.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte)));
    let identity = read_pfx(&STANDARD.decode(&line.contents).unwrap(), None).unwrap();
    assert_eq!(identity.certificate, issued.certificate);
}

#[tokio::test]
async fn a_combined_pem_is_certificate_chain_key_and_reads_back_in_any_order() {
    let (key, issued, root) = chained_pair().await;
    let file = only(render(&plain(Format::Pem), &key, &issued, None, "x").unwrap());
    let text = String::from_utf8(file.contents.to_vec()).unwrap();
    let labels: Vec<&str> = text.lines().filter(|line| line.starts_with("-----BEGIN")).collect();
    let certificate = "-----BEGIN CERTIFICATE-----";
    assert_eq!(labels, [certificate, certificate, "-----BEGIN PRIVATE KEY-----"]);

    // The root first, then key, intermediate, leaf: everything that was given is found, the root left out.
    let (certificates, key_text) = text.split_at(text.find("-----BEGIN PRIVATE").unwrap());
    let (leaf, middle) = certificates.split_at(certificates.rfind(certificate).unwrap());
    let shuffled = [&root.to_pem(), key_text, middle, leaf].concat();
    for text in [&text, &shuffled] {
        let identity = read_pem(text.as_bytes()).unwrap();
        assert_eq!(identity.certificate, issued.certificate);
        assert_eq!(identity.chain, issued.chain);
        assert_eq!(identity.key.expose_pkcs8(), key.expose_pkcs8());
    }
}

#[tokio::test]
async fn cc_04_a_pfx_opens_with_its_password_and_only_with_it() {
    let (key, issued, _) = chained_pair().await;
    let generated = generate_password(&SystemRandom);
    for profile in [PfxProfile::Modern2023, PfxProfile::LegacyDes] {
        for password in [&generated, &Secret::new(TRICKY.into())] {
            let form = form(Format::Pfx, profile, Password::Generate);
            let file = only(render(&form, &key, &issued, Some(password), "x").unwrap());
            let identity = read_pfx(&file.contents, Some(password)).unwrap();
            assert_eq!(identity.certificate, issued.certificate);
            assert_eq!(identity.chain, issued.chain);
            assert_eq!(identity.key.expose_pkcs8(), key.expose_pkcs8());
            let wrong = Secret::new("another".into());
            assert_eq!(read_pfx(&file.contents, Some(&wrong)).unwrap_err(), IdentityError::WrongPassword);
            assert_eq!(read_pfx(&file.contents, None).unwrap_err(), IdentityError::PasswordNeeded);
        }
    }
}

#[tokio::test]
async fn tm_18_no_password_and_the_empty_password_open_the_same_pfx() {
    let (key, issued) = pair().await;
    let file = only(render(&plain(Format::Pfx), &key, &issued, None, "x").unwrap());
    for password in [None, Some(Secret::new(String::new()))] {
        assert_eq!(read_pfx(&file.contents, password.as_ref()).unwrap().certificate, issued.certificate);
    }
}

#[tokio::test]
async fn a_password_that_does_not_fit_the_declaration_is_refused() {
    let (key, issued) = pair().await;
    let secret = Secret::new("hunter2".into());
    let refuse = |password, secret: Option<&Secret>| {
        render(&form(Format::Pfx, PfxProfile::Modern2023, password), &key, &issued, secret, "x").unwrap_err()
    };
    assert_eq!(refuse(Password::None, Some(&secret)), FormError::PasswordUnexpected);
    assert_eq!(refuse(Password::Generate, None), FormError::PasswordMissing("generate".into()));
    let form = form(Format::Pfx, PfxProfile::Modern2023, Password::Env("CERTROLL_SECRET_X".into()));
    let refuse_given = |secret: &Secret| render(&form, &key, &issued, Some(secret), "x").unwrap_err();
    // CC-06: the sample passwords of the documents.
    for sample in ["YourPassword", "YourSecurePassword", ""] {
        let error = refuse_given(&Secret::new(sample.into()));
        assert!(matches!(error, FormError::Password(_)), "{sample}: {error}");
    }
}

#[tokio::test]
async fn a_key_is_not_written_beside_another_keys_certificate() {
    let (key, _) = pair().await;
    let (_, issued) = pair().await;
    let error = render(&plain(Format::Pem), &key, &issued, None, "x").unwrap_err();
    assert_eq!(error, FormError::NotAPair(issued.certificate.thumbprints.sha1.short()));
    assert!(LocalSigner::new(&key, issued.certificate).is_err());
}

#[tokio::test]
async fn a_name_that_would_leave_its_folder_is_refused() {
    let (key, issued) = pair().await;
    for stem in ["", ".", "..", "../x", "a/b", "a\\b", "c:x", "a\0", ".hidden", "a\n", "🔑"] {
        let result = render(&plain(Format::Pem), &key, &issued, None, stem);
        assert_eq!(result.unwrap_err(), FormError::Stem(stem.to_owned()), "{stem:?}");
    }
}

#[tokio::test]
async fn nothing_that_holds_a_key_shows_it_in_debug() {
    let (key, issued) = pair().await;
    let files = render(&plain(Format::PemPair), &key, &issued, None, "x").unwrap();
    let identity = read_pem(&[&files[0].contents[..], &files[1].contents].concat()).unwrap();
    let signer = LocalSigner::new(&key, issued.certificate.clone()).unwrap();
    let shown = format!("{files:?} {identity:?} {signer:?} {key:?}");
    // Facts only: a PEM text alone is three times as long.
    assert!(shown.len() < 600, "{shown}");
    assert!(shown.contains("RenderedFile(x.key, ") && shown.contains("PrivateKey(..)"), "{shown}");
}

#[tokio::test]
async fn keys_that_cannot_sign_in_are_refused_kindly() {
    let (key, issued) = pair().await;
    let certificate = issued.certificate.to_pem();
    let with = |block: &str| read_pem(format!("{certificate}{block}").as_bytes()).unwrap_err();
    let block =
        |label: &str, base64: &str| format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n");
    let elliptic = KeyPair::generate().unwrap().serialize_pem();
    assert_eq!(with(&elliptic), IdentityError::EllipticCurve);
    assert_eq!(with(&block("EC PRIVATE KEY", "AAAA")), IdentityError::EllipticCurve);
    assert_eq!(with(&block("ENCRYPTED PRIVATE KEY", "AAAA")), IdentityError::EncryptedKey);
    let header = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA";
    assert_eq!(with(&block("RSA PRIVATE KEY", header)), IdentityError::EncryptedKey);
    assert_eq!(
        with(&block("OPENSSH PRIVATE KEY", "AAAA")),
        IdentityError::UnknownKey("OPENSSH PRIVATE KEY".into())
    );
    assert!(matches!(with(&block("PRIVATE KEY", "AAAA")), IdentityError::Key(_)));
    assert_eq!(with(""), IdentityError::NoKey);
    let own = block("PRIVATE KEY", &STANDARD.encode(key.expose_pkcs8()));
    assert_eq!(with(&[&own[..], &own].concat()), IdentityError::SeveralKeys(2));
    assert_eq!(read_pem(own.as_bytes()).unwrap_err(), IdentityError::NoCertificate);
    let (_, other) = pair().await;
    let unmatched = format!("{own}{}", other.certificate.to_pem());
    assert_eq!(read_pem(unmatched.as_bytes()).unwrap_err(), IdentityError::NoMatch);
}

#[tokio::test]
async fn a_file_of_the_other_kind_is_named() {
    let (key, issued) = pair().await;
    let pem = only(render(&plain(Format::Pem), &key, &issued, None, "x").unwrap());
    let pfx = only(render(&plain(Format::Pfx), &key, &issued, None, "x").unwrap());
    assert_eq!(read_pfx(&pem.contents, None).unwrap_err(), IdentityError::PemInsteadOfPfx);
    assert_eq!(read_pem(&pfx.contents).unwrap_err(), IdentityError::PfxInsteadOfPem);
    assert_eq!(read_pem(b"").unwrap_err(), IdentityError::Empty);
    assert_eq!(read_pfx(&vec![0; 2 << 20], None).unwrap_err(), IdentityError::TooLarge);
    assert!(matches!(read_pfx(b"hello", None).unwrap_err(), IdentityError::NotPfx(_)));
    assert!(matches!(read_pfx(issued.certificate.der(), None).unwrap_err(), IdentityError::NotPfx(_)));
}

#[tokio::test]
async fn a_pkcs1_key_is_read_and_kept_as_pkcs8() {
    let (key, issued) = pair().await;
    // RSAPrivateKey is what PKCS#8 wraps in 26 bytes at this length.
    let pkcs1 = &key.expose_pkcs8()[26..];
    let block = format!(
        "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----\n",
        STANDARD.encode(pkcs1)
    );
    let identity = read_pem(format!("{block}{}", issued.certificate.to_pem()).as_bytes()).unwrap();
    assert_eq!(identity.key.expose_pkcs8(), key.expose_pkcs8());
}

#[tokio::test]
async fn no_damaged_pfx_panics_or_takes_long() {
    let (key, issued) = pair().await;
    let form = form(Format::Pfx, PfxProfile::LegacyDes, Password::None);
    let whole = only(render(&form, &key, &issued, None, "x").unwrap()).contents;
    for index in (0..whole.len()).filter(|index| *index < 120 || index % 29 == 0 || index + 80 > whole.len())
    {
        for change in [0x01, 0x80] {
            let mut damaged = whole.to_vec();
            damaged[index] ^= change;
            let _ = read_pfx(&damaged, None);
        }
        let _ = read_pfx(&whole[..index], None);
    }
    for head in [&[0x30u8, 0x80][..], &[0x24, 0x80]] {
        assert!(read_pfx(&head.repeat(100_000), None).is_err());
    }
}

/// Files of one form in a folder that goes with the test.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    #[allow(clippy::disallowed_methods, reason = "other programs read files")]
    pub(crate) fn with(files: &[RenderedFile]) -> Folder {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            std::fs::write(folder.path().join(&file.name), &file.contents).unwrap();
        }
        Folder(folder)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }
}

fn hex(certificate: &Certificate) -> String {
    certificate.thumbprints.sha256.to_string()
}

#[tokio::test]
#[ignore = "needs openssl, keytool and python; .ci/run runs it"]
async fn tm_04_every_pfx_opens_in_openssl_keytool_and_python_with_key_and_chain() {
    let (key, issued, _) = chained_pair().await;
    let generated = generate_password(&SystemRandom);
    for (profile, password) in [
        (PfxProfile::Modern2023, Some(generated.expose())),
        (PfxProfile::LegacyDes, Some(generated.expose())),
        (PfxProfile::Modern2023, Some(TRICKY)),
        (PfxProfile::LegacyDes, Some(TRICKY)),
        (PfxProfile::Modern2023, None),
        (PfxProfile::LegacyDes, None),
    ] {
        let declared = if password.is_some() { Password::Generate } else { Password::None };
        let secret = password.map(|text| Secret::new(text.to_owned()));
        let form = form(Format::Pfx, profile, declared);
        let folder = Folder::with(&render(&form, &key, &issued, secret.as_ref(), "cloudm").unwrap());
        let path = folder.path("cloudm.pfx");
        let case = format!("{profile:?} {password:?}");
        openssl_opens(&path, profile, password.unwrap_or(""), &issued, &key, &case);
        // Java takes no password outside ASCII ("Password is not ASCII"), whoever wrote the file.
        if password.is_none_or(str::is_ascii) {
            keytool_opens(&path, password.unwrap_or(""), &case);
        }
        python_opens(&path, password, &issued, &case);
    }
}

fn openssl_opens(
    path: &str,
    profile: PfxProfile,
    password: &str,
    issued: &Issued,
    key: &PrivateKey,
    case: &str,
) {
    let mut arguments = vec!["pkcs12", "-in", path, "-passin", "env:PASSWORD", "-nodes", "-info"];
    if profile == PfxProfile::LegacyDes {
        // OpenSSL 3 keeps the old ciphers in a provider of their own.
        arguments.push("-legacy");
    }
    let output = run("openssl", &arguments, Some(password));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{case}: {told}");
    let wanted = match profile {
        PfxProfile::Modern2023 => ["MAC: sha256", "AES-256-CBC, Iteration 100000, PRF hmacWithSHA256"],
        PfxProfile::LegacyDes => ["MAC: sha1", "pbeWithSHA1And3-KeyTripleDES-CBC"],
    };
    assert!(wanted.iter().all(|words| told.contains(words)), "{case}: {told}");
    let identity = read_pem(&output.stdout).unwrap();
    assert_eq!((&identity.certificate, &identity.chain), (&issued.certificate, &issued.chain), "{case}");
    assert_eq!(identity.key.expose_pkcs8(), key.expose_pkcs8(), "{case}");
    // Leaf first, as `send_certificate_chain` wants it (TM-19).
    let order = Certificate::all_from_pem(&output.stdout).unwrap();
    assert_eq!(order, [std::slice::from_ref(&issued.certificate), &issued.chain].concat(), "{case}");
    assert!(!run("openssl", &arguments, Some("another")).status.success(), "{case}: opens with any password");
}

fn keytool_opens(path: &str, password: &str, case: &str) {
    // keytool takes no empty password from a variable, so that one is an argument; it protects nothing.
    let (option, value) =
        if password.is_empty() { ("-storepass", "") } else { ("-storepass:env", "PASSWORD") };
    let arguments = ["-list", "-v", "-storetype", "PKCS12", "-keystore", path, option, value];
    let listing = printed("keytool", &arguments, Some(password));
    for words in ["Alias name: cloudm", "Entry type: PrivateKeyEntry", "Certificate chain length: 2"] {
        assert!(listing.contains(words), "{case}: {listing}");
    }
    if !password.is_empty() {
        assert!(
            !run("keytool", &arguments, Some("another")).status.success(),
            "{case}: opens with any password"
        );
    }
}

fn python_opens(path: &str, password: Option<&str>, issued: &Issued, case: &str) {
    let expected = serde_json::json!({
        "opens": true, "pair": true, "bits": 2048, "friendly_name": "CN=Leaf",
        "thumbprint": hex(&issued.certificate), "chain": [hex(&issued.chain[0])],
    });
    match password {
        Some(password) => {
            assert_eq!(check_forms(&["pfx", path], &[("PASSWORD", password)]), expected, "{case}");
            assert_eq!(check_forms(&["pfx", path], &[("PASSWORD", "another")])["opens"], false, "{case}");
            assert_eq!(check_forms(&["pfx", path], &[])["opens"], false, "{case}");
        }
        // Absent and empty are two passwords in PKCS#12; readers are expected to try both.
        None => {
            assert_eq!(check_forms(&["pfx", path], &[]), expected, "{case}");
            assert_eq!(check_forms(&["pfx", path], &[("PASSWORD", "")]), expected, "{case}");
        }
    }
}

#[tokio::test]
#[ignore = "needs openssl, keytool and python; .ci/run runs it"]
async fn tm_01_pem_files_open_in_openssl_and_python() {
    let (key, issued, _) = chained_pair().await;
    let folder = Folder::with(&render(&plain(Format::Pem), &key, &issued, None, "x").unwrap());
    let pair = Folder::with(&render(&plain(Format::PemPair), &key, &issued, None, "x").unwrap());
    let (combined, certificate, alone) = (folder.path("x.pem"), pair.path("x.crt"), pair.path("x.key"));
    let expected = serde_json::json!({
        "pair": true, "bits": 2048, "thumbprint": hex(&issued.certificate), "chain": [hex(&issued.chain[0])],
    });
    assert_eq!(check_forms(&["pem", &combined], &[]), expected);
    assert_eq!(check_forms(&["pem", &certificate, &alone], &[]), expected);
    for (certificate, key) in [(&combined, &combined), (&certificate, &alone)] {
        let of_certificate = printed("openssl", &["x509", "-in", certificate, "-noout", "-pubkey"], None);
        let of_key = printed("openssl", &["pkey", "-in", key, "-check", "-pubout"], None);
        assert_eq!(of_key.replace("Key is valid\n", ""), of_certificate);
    }
}

#[tokio::test]
#[ignore = "needs openssl, keytool and python; .ci/run runs it"]
async fn what_openssl_and_python_write_is_read() {
    let (key, issued, root) = chained_pair().await;
    let folder = Folder::with(&render(&plain(Format::PemPair), &key, &issued, None, "x").unwrap());
    let (certificate, key_file, pfx) = (folder.path("x.crt"), folder.path("x.key"), folder.path("x.p12"));
    let root_file = Folder::with(&[RenderedFile {
        name: "root.pem".into(),
        contents: root.to_pem().into_bytes().into(),
        secret: false,
    }]);
    let base = ["pkcs12", "-export", "-inkey", &key_file, "-in", &certificate, "-certfile"];
    let root_path = root_file.path("root.pem");
    for (more, password) in [
        (&["-passout", "env:PASSWORD"][..], TRICKY),
        (&["-passout", "env:PASSWORD", "-legacy"], TRICKY),
        (&["-passout", "env:PASSWORD", "-legacy", "-descert"], ""),
        (&["-passout", "env:PASSWORD", "-nomac", "-keypbe", "NONE", "-certpbe", "NONE"], ""),
        (&["-passout", "env:PASSWORD", "-keypbe", "aes-128-cbc", "-macalg", "sha512"], "x"),
    ] {
        let arguments = [&base[..], &[&root_path, "-out", &pfx], more].concat();
        printed("openssl", &arguments, Some(password));
        #[allow(clippy::disallowed_methods, reason = "openssl wrote it")]
        let bytes = std::fs::read(&pfx).unwrap();
        let identity = read_pfx(&bytes, Some(&Secret::new(password.into()))).unwrap();
        assert_eq!(identity.certificate, issued.certificate, "{more:?}");
        assert_eq!(identity.chain, issued.chain, "{more:?}");
        assert_eq!(identity.key.expose_pkcs8(), key.expose_pkcs8(), "{more:?}");
    }
    let pkcs1 = printed("openssl", &["pkey", "-in", &key_file, "-traditional"], None);
    assert!(pkcs1.contains("BEGIN RSA PRIVATE KEY"));
    let identity = read_pem(format!("{pkcs1}{}", issued.certificate.to_pem()).as_bytes()).unwrap();
    assert_eq!(identity.key.expose_pkcs8(), key.expose_pkcs8());
    let encrypted = printed("openssl", &["pkey", "-in", &key_file, "-aes256", "-passout", "pass:x"], None);
    let error = read_pem(format!("{encrypted}{}", issued.certificate.to_pem()).as_bytes()).unwrap_err();
    assert_eq!(error, IdentityError::EncryptedKey);
}
