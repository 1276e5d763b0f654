//! docs/how-to/htpasswd.md, done with the real program.

use crate::harness::daemon::find;
use crate::harness::page::{Page, shell};
use crate::harness::{Gantry, skipped};
use crate::ops::eventually;

#[tokio::test]
async fn howto_htpasswd() {
    if find("htpasswd").is_none() {
        return skipped("howto_htpasswd", "needs htpasswd");
    }
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("htpasswd");
    let page = Page::read("htpasswd").with("/etc/gantry/htpasswd", file.to_str().expect("a path"));
    let password = [("PASSWORD", "a: password with ü")];
    let [make, try_it, remove] = page.blocks("sh").try_into().expect("make, try, remove");
    assert!(shell(&make, dir.path(), &password).0);
    let gantry = Gantry::options().file(&page.blocks("toml").concat()).start().await;
    let try_it = try_it.replace("https://registry.example.com", &format!("http://{}", gantry.address()));
    let (good, said) = shell(&try_it, dir.path(), &password);
    assert!(good && said.contains("{}"), "{said}");
    assert!(!shell(&try_it, dir.path(), &[("PASSWORD", "another")]).0);
    let robot = try_it.replace("alice", "robot");
    assert!(shell(&robot, dir.path(), &password).0);
    assert!(shell(&remove, dir.path(), &password).0);
    eventually("the account is gone", async || (!shell(&robot, dir.path(), &password).0).then_some(())).await;
    assert!(shell(&try_it, dir.path(), &password).0);
}
