//! What a page of `docs/how-to` needs so that its commands can be typed: the program on the PATH, an image, and skopeo where people
//! type `docker`, which takes the same options for a login and needs no daemon.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::harness::daemon::find;
use crate::harness::page::shell;
use crate::harness::{Gantry, skipped};

/// The name that the pages have for the registry, and the audience of identity tokens.
pub(super) const REGISTRY: &str = "registry.example.com";

/// A desk to type at.
pub(super) struct Desk {
    dir: TempDir,
}

impl Desk {
    /// `None`: something is not installed here, which is said.
    pub(super) fn new(test: &str) -> Option<Desk> {
        for program in ["skopeo", "python3", "curl", "jq"] {
            if find(program).is_none() {
                skipped(test, &format!("needs {program}"));
                return None;
            }
        }
        let dir = TempDir::with_prefix("gantry-desk-").expect("a directory");
        std::fs::create_dir(dir.path().join("bin")).expect("a directory");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_gantry"), dir.path().join("bin/gantry"))
            .expect("a link");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/mkimage.py");
        let mut make = Command::new("python3");
        let made =
            make.arg(script).args(["image", "image", "--seed", "howto"]).current_dir(dir.path()).output();
        let made = made.expect("python runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Some(Desk { dir })
    }

    /// Where commands run.
    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A block as it is typed against this server.
    fn typed(block: &str, app: &Gantry) -> String {
        let host = app.address().to_string();
        block
            .replace(&format!("https://{REGISTRY}"), &format!("http://{host}"))
            .replace(REGISTRY, &host)
            // Names that happen to be that of the registry.
            .replace(&format!("audience={host}"), &format!("audience={REGISTRY}"))
            .replace(&format!("service={host}"), &format!("service={REGISTRY}"))
            .replace("docker login", "skopeo login --tls-verify=false")
            .replace("docker logout", "skopeo logout")
            .replace("docker push ", "skopeo copy -q --dest-tls-verify=false oci:image docker://")
            .replace("docker pull ", "skopeo inspect --raw --tls-verify=false docker://")
    }

    /// Types it, on the machine of the server: whether it went well, and what was said.
    pub(super) async fn try_to(
        &self,
        app: &Gantry,
        block: &str,
        variables: &[(&str, &str)],
    ) -> (bool, String) {
        let (block, dir) = (Self::typed(block, app), self.dir().to_owned());
        #[expect(clippy::disallowed_methods, reason = "a test looks for programs where its caller would")]
        let path = std::env::var("PATH").unwrap_or_default();
        let mut all = vec![
            ("PATH".to_owned(), format!("{}:{path}", dir.join("bin").display())),
            ("HOME".to_owned(), dir.display().to_string()),
            ("REGISTRY_AUTH_FILE".to_owned(), dir.join("auth.json").display().to_string()),
            ("GANTRY_DATA".to_owned(), app.data().display().to_string()),
        ];
        all.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let typing = tokio::task::spawn_blocking(move || {
            let all: Vec<_> = all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            shell(&block, &dir, &all)
        });
        typing.await.expect("a shell")
    }

    /// The same, when it has to go well: what was said.
    pub(super) async fn run(&self, app: &Gantry, block: &str, variables: &[(&str, &str)]) -> String {
        let (good, said) = self.try_to(app, block, variables).await;
        assert!(good, "{block}\n{said}\n{}", app.log());
        said
    }

    /// The same, when it has to be refused.
    pub(super) async fn is_refused(&self, app: &Gantry, block: &str, variables: &[(&str, &str)]) {
        let (good, said) = self.try_to(app, block, variables).await;
        assert!(!good, "{block}\n{said}");
        let told = ["unauthorized", "denied", "401", "403", "unknown", "invalid username"];
        let said = said.to_lowercase();
        assert!(told.iter().any(|word| said.contains(word)), "{block}\n{said}");
    }
}
