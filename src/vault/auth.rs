//! How certroll signs in to a Vault: a token, AppRole, or a token of another issuer (JWT, Kubernetes).

use serde_json::{Value, json};

use crate::connections::{Connection, Operator};
use crate::edges::{Trouble, TroubleKind};
use crate::key::Secret;
pub use crate::token_source::Source;

/// The service account's token in a pod (Kubernetes documentation: projected service account tokens).
const POD_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// How to sign in.
#[derive(Debug, Clone)]
pub enum Auth {
    /// With a token that was given.
    Token {
        /// The token.
        token: Source,
        /// Where it was named, for messages.
        source: String,
    },
    /// `auth/approle/login`.
    AppRole {
        /// Mount of the method.
        mount: String,
        /// Role id.
        role_id: Secret,
        /// Secret id; a role may do without.
        secret_id: Option<Source>,
        /// Where they were named, for messages.
        source: String,
    },
    /// `auth/jwt/login` and `auth/kubernetes/login`: a role, and a token of another issuer.
    Jwt {
        /// `jwt` or `kubernetes`.
        method: &'static str,
        /// Mount of the method.
        mount: String,
        /// The role.
        role: String,
        /// The token.
        jwt: Source,
        /// Where they were named, for messages.
        source: String,
    },
}

/// A sign-in request.
pub(super) struct Login {
    pub(super) method: &'static str,
    pub(super) mount: String,
    pub(super) body: Value,
    pub(super) secrets: Vec<Secret>,
    pub(super) source: String,
}

impl Auth {
    /// What the operator set: a named connection, or else the variables of Vault's own tools (`VAULT_TOKEN`).
    pub fn choose(operator: &Operator, connection: Option<&Connection>) -> Result<Auth, Trouble> {
        match connection {
            Some(connection) => Auth::of_connection(connection),
            None => {
                let token = operator.variable("VAULT_TOKEN").ok_or_else(|| {
                    wrong("VAULT_TOKEN is not set").with_hint(
                        "set VAULT_ADDR and VAULT_TOKEN, or name a connection for AppRole, JWT or Kubernetes",
                    )
                })?;
                let token = Source::Given(Secret::new(token.trim().to_owned()));
                Ok(Auth::Token { token, source: "VAULT_TOKEN".into() })
            }
        }
    }

    fn of_connection(connection: &Connection) -> Result<Auth, Trouble> {
        let mut guessed = ["token", "token_file", "role_id", "jwt_file"].into_iter();
        let guessed = guessed.find(|setting| connection.text(setting).is_some());
        let method = match (connection.text("auth"), guessed) {
            (Some(named), _) => named.to_owned(),
            (None, Some("token" | "token_file")) => "token".to_owned(),
            (None, Some("role_id")) => "approle".to_owned(),
            (None, Some(_)) => "jwt".to_owned(),
            (None, None) => {
                let hint = format!("set {} and what goes with it", connection.variable("auth"));
                let reason = format!("connection {} says nothing of how to sign in", connection.name());
                return Err(wrong(&reason).with_hint(hint));
            }
        };
        let mount =
            |method: &str| connection.text("auth_mount").unwrap_or(method).trim_matches('/').to_owned();
        let needed = |setting: &'static str| {
            connection.secret(setting).cloned().ok_or_else(|| {
                wrong(&format!("connection {} has no {setting}", connection.name()))
                    .with_hint(format!("set {}", connection.variable(setting)))
            })
        };
        let source = format!("connection {}", connection.name());
        match method.as_str() {
            "token" => match either(connection, "token", "token_file") {
                Some(token) => Ok(Auth::Token { token, source }),
                None => needed("token").map(|token| Auth::Token { token: Source::Given(token), source }),
            },
            "approle" => Ok(Auth::AppRole {
                mount: mount("approle"),
                role_id: needed("role_id")?,
                secret_id: either(connection, "secret_id", "secret_id_file"),
                source,
            }),
            "jwt" => Ok(Auth::Jwt {
                method: "jwt",
                mount: mount("jwt"),
                role: needed("role")?.expose().to_owned(),
                jwt: Source::File(needed("jwt_file")?.expose().to_owned()),
                source,
            }),
            "kubernetes" => Ok(Auth::Jwt {
                method: "kubernetes",
                mount: mount("kubernetes"),
                role: needed("role")?.expose().to_owned(),
                jwt: Source::File(connection.text("jwt_file").unwrap_or(POD_TOKEN).to_owned()),
                source,
            }),
            _ => Err(wrong(&format!("connection {} has an unknown auth", connection.name()))
                .with_hint("a Vault is signed in to with token, approle, jwt or kubernetes")),
        }
    }

    /// For messages.
    pub(super) fn describe(&self) -> String {
        match self {
            Auth::Token { source, .. } => format!("a token ({source})"),
            Auth::AppRole { mount, source, .. } => format!("AppRole at {mount} ({source})"),
            Auth::Jwt { method, mount, role, source, .. } => {
                format!("role {role} of {method} at {mount} ({source})")
            }
        }
    }

    /// Whether another sign-in can bring another token.
    pub(super) fn can_renew(&self) -> bool {
        !matches!(self, Auth::Token { token: Source::Given(_), .. })
    }

    /// The token that was given.
    pub(super) fn given_token(&self) -> Result<Secret, Trouble> {
        match self {
            Auth::Token { token, .. } => token.read(),
            Auth::AppRole { .. } | Auth::Jwt { .. } => Err(wrong("there is no token before the sign-in")),
        }
    }

    /// The request that signs in; none where a token was given.
    pub(super) fn login(&self) -> Result<Option<Login>, Trouble> {
        Ok(match self {
            Auth::Token { .. } => None,
            Auth::AppRole { mount, role_id, secret_id, source } => {
                let secret_id = secret_id.as_ref().map(Source::read).transpose()?;
                let mut body = json!({ "role_id": role_id.expose() });
                if let Some(secret_id) = &secret_id {
                    body["secret_id"] = secret_id.expose().into();
                }
                let secrets = secret_id.into_iter().chain([role_id.clone()]).collect();
                let (mount, source) = (mount.clone(), source.clone());
                Some(Login { method: "AppRole", mount, body, secrets, source })
            }
            Auth::Jwt { method, mount, role, jwt, source } => {
                let jwt = jwt.read()?;
                let body = json!({ "role": role, "jwt": jwt.expose() });
                let (mount, source) = (mount.clone(), source.clone());
                Some(Login { method, mount, body, secrets: vec![jwt], source })
            }
        })
    }
}

fn either(connection: &Connection, given: &'static str, file: &'static str) -> Option<Source> {
    let given = connection.secret(given).cloned().map(Source::Given);
    given.or_else(|| connection.text(file).map(|path| Source::File(path.to_owned())))
}

fn wrong(reason: &str) -> Trouble {
    Trouble::new(TroubleKind::Authentication, "choosing how to sign in to Vault", reason)
}
