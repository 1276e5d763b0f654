//! The decision in words (N-21).

use gantry_oci::access::{Action, Subject, TokenScope};
use serde::Serialize;

use super::rules::Rules;
use crate::auth::{Credential, Identity, Known, Source};

/// What is asked about.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Who.
    pub subject: Subject,
    /// The groups that are known of the subject.
    pub groups: Vec<String>,
    /// Whether it is a server admin.
    pub admin: bool,
    /// Who vouches for it.
    pub source: Source,
    /// What it may by itself: of a robot the scopes of its tokens.
    pub own: Vec<TokenScope>,
    /// What it is to do.
    pub action: Action,
    /// Where.
    pub repository: String,
    /// With which tag, if there is one already: rules for tags hold those that are there.
    pub tag: Option<String>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Whether it is allowed.
    pub allowed: bool,
    /// The rule that decided.
    pub rule: Option<String>,
    /// What is missing, when it is not allowed.
    pub missing: Option<String>,
    /// The namespace that the repository belongs to; empty: none of its own.
    pub namespace: String,
    /// `public`, `private` or `hidden`.
    pub visibility: String,
}

impl Rules {
    /// Says whether somebody may do something, and by which rule or for lack of what. Of a subject whose groups another
    /// system knows, only those that were given count.
    pub fn explain(&self, asked: &Asked) -> Explanation {
        let credential =
            if asked.subject.is_anonymous() { Credential::Nothing } else { Credential::Password };
        let identity = Identity::known(Known {
            groups: asked.groups.clone(),
            admin: asked.admin,
            own: asked.own.clone(),
            ..Identity::plain(asked.subject.clone(), asked.source, credential).known_parts()
        });
        let namespace = self.namespace_of(&asked.repository);
        let (rule, missing) = match self.right(&identity, &asked.repository, asked.action) {
            Ok(why) => (Some(why.to_string()), None),
            Err(missing) => (None, Some(missing.to_string())),
        };
        let held = match (&asked.tag, asked.action) {
            (Some(tag), Action::Push | Action::Delete) if missing.is_none() => {
                self.locks(&identity, &asked.repository).holding(tag).map(|pattern| {
                    let how = if namespace.immutable.contains(pattern) { "immutable" } else { "protected" };
                    (how, pattern.to_string())
                })
            }
            _ => None,
        };
        let (allowed, rule, missing) = match held {
            Some((how, pattern)) => {
                let rule = format!(
                    "tags `{pattern}` are {how} in the namespace `{}` ({}): a tag that is there is not moved or removed",
                    namespace.shown(),
                    namespace.origin
                );
                let missing =
                    (how == "protected").then(|| format!("the role `admin` on `{}`", asked.repository));
                (false, Some(rule), missing)
            }
            None => (missing.is_none(), rule, missing),
        };
        Explanation {
            allowed,
            rule,
            missing,
            namespace: namespace.prefix.clone(),
            visibility: namespace.visibility.to_string(),
        }
    }
}
