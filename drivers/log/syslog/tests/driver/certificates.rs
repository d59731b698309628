//! An authority, a server's and a client's certificate, made with openssl.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the PEM files are: `NAME.pem` and `NAME.key`.
pub struct Certificates(tempfile::TempDir);

impl Certificates {
    /// `ca` signs `server` (for localhost and 127.0.0.1) and `client`; `other` is another authority. `None`, with a
    /// word, where there is no openssl.
    pub fn make() -> Option<Certificates> {
        let made = Certificates(tempfile::tempdir().unwrap());
        if Command::new("openssl").arg("version").output().is_err() {
            eprintln!("skipped: needs openssl");
            return None;
        }
        made.authority("ca");
        made.authority("other");
        made.signed("server", "subjectAltName=DNS:localhost,IP:127.0.0.1");
        made.signed("client", "extendedKeyUsage=clientAuth");
        Some(made)
    }

    /// The path of a file.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The same as text.
    pub fn text(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }

    fn authority(&self, name: &str) {
        let (key, certificate) = (format!("{name}.key"), format!("{name}.pem"));
        let subject = format!("/CN=test {name}");
        let words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
        openssl(self.0.path(), &[&words[..], &["-subj", &subject, "-keyout", &key, "-out", &certificate]].concat());
    }

    fn signed(&self, name: &str, extension: &str) {
        let (key, request, certificate) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
        let subject = format!("/CN={name}");
        let words = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        openssl(self.0.path(), &[&words[..], &["-subj", &subject, "-keyout", &key, "-out", &request]].concat());
        std::fs::write(self.path("extensions"), format!("{extension}\n")).unwrap();
        let words = ["x509", "-req", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile"];
        openssl(self.0.path(), &[&words[..], &["extensions", "-in", &request, "-out", &certificate]].concat());
    }
}

fn openssl(dir: &Path, words: &[&str]) {
    let output = Command::new("openssl").args(words).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "openssl {words:?}: {}", String::from_utf8_lossy(&output.stderr));
}
