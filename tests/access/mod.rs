//! Who callers are, how they prove it, and what they may do: the token server, rights, lists and rules for tags; directories,
//! certificates, and what stands before the server.

mod audit;
mod bearers;
mod certificates;
mod challenges;
mod credentials;
mod directory;
mod howto;
mod howto_accounts;
mod howto_certificates;
mod howto_ci;
mod howto_htpasswd;
mod howto_ldap;
mod howto_proxy;
mod howto_token_servers;
mod howto_tokens;
mod ldap;
mod lists;
mod refresh;
mod reload;
mod rights;
mod secrets;
mod table;
mod tag_rules;
mod token_server;
mod tokens;
mod visibility;
mod waiting;
