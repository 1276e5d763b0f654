//! Challenges: what a 401 says about how to come back (RFC 9110, section 11; RFC 6750; A-1).

use std::fmt;

/// One challenge of a `WWW-Authenticate` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// Name and password.
    Basic {
        /// What they are for.
        realm: String,
    },
    /// A token, to be had at the realm.
    Bearer {
        /// The URL of the token server.
        realm: String,
        /// Who will check the token.
        service: String,
        /// What it must allow.
        scope: Option<String>,
        /// What was wrong with the token that came; absent when none came.
        error: Option<String>,
    },
}

impl fmt::Display for Challenge {
    /// One header value. Every value is quoted and there are no blanks between parameters: there are clients that read
    /// nothing else.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Challenge::Basic { realm } => write!(f, "Basic realm={}", Quoted(realm)),
            Challenge::Bearer { realm, service, scope, error } => {
                write!(f, "Bearer realm={},service={}", Quoted(realm), Quoted(service))?;
                for (name, value) in [("scope", scope), ("error", error)] {
                    if let Some(value) = value {
                        write!(f, ",{name}={}", Quoted(value))?;
                    }
                }
                Ok(())
            }
        }
    }
}

struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for letter in self.0.chars().filter(|letter| !letter.is_control()) {
            if matches!(letter, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{letter}")?;
        }
        f.write_str("\"")
    }
}

impl Challenge {
    /// Reads the challenges of one header value, as leniently as can be. Schemes that are not spoken are left out, and so
    /// is a Bearer without a realm, since there would be nowhere to go.
    pub fn parse(header: &str) -> Vec<Challenge> {
        let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
        let mut rest = header;
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            let word = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
            if word == 0 && !rest.starts_with('=') {
                break;
            }
            let (name, behind) = rest.split_at(word);
            let behind = behind.trim_start_matches([' ', '\t']);
            match behind.strip_prefix('=') {
                Some(value) if !found.is_empty() => {
                    let (value, behind) = parameter(value.trim_start_matches([' ', '\t']));
                    if let Some((_, parameters)) = found.last_mut() {
                        parameters.push((name.to_ascii_lowercase(), value));
                    }
                    rest = behind;
                }
                Some(value) => rest = value,
                None => {
                    found.push((name.to_ascii_lowercase(), Vec::new()));
                    rest = behind;
                }
            }
        }
        found.into_iter().filter_map(|(scheme, parameters)| Self::from_parts(&scheme, parameters)).collect()
    }

    fn from_parts(scheme: &str, mut parameters: Vec<(String, String)>) -> Option<Self> {
        let mut take = |name: &str| {
            let at = parameters.iter().position(|(key, _)| key == name)?;
            Some(parameters.swap_remove(at).1)
        };
        match scheme {
            "basic" => Some(Challenge::Basic { realm: take("realm").unwrap_or_default() }),
            "bearer" => Some(Challenge::Bearer {
                realm: take("realm")?,
                service: take("service").unwrap_or_default(),
                scope: take("scope"),
                error: take("error"),
            }),
            _ => None,
        }
    }
}

/// A token or a quoted string, and what is behind it.
fn parameter(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        let (value, behind) = text.split_at(end);
        return (value.to_owned(), behind);
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, quoted.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(letters.next().map(|(_, letter)| letter)),
            _ => value.push(letter),
        }
    }
    (value, "")
}
