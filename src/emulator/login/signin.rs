//! The token endpoint.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::emulator::faults::{Faults, strikes};
use crate::emulator::login::assertion::{self, Expected, FrontEnd, Jwt};
use crate::emulator::login::errors::SignInError;
use crate::emulator::login::{federation, tokens};
use crate::emulator::wire::{Call, Exchange, Reply, decode, form};
use crate::emulator::world::{Kind, Object, PasswordCredential, World};

const BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The fields of a token request.
struct Form(Vec<(String, String)>);

impl Form {
    fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }
}

/// `POST /{tenant}/oauth2/v2.0/token`.
pub(crate) fn token(exchange: &mut Exchange<'_>, call: &Call, tenant: &str) -> Reply {
    let front_end = match trouble(exchange) {
        Ok(front_end) => front_end,
        Err(Trouble::Reply(reply)) => return reply,
        Err(Trouble::Error(error)) => return error.reply(exchange, call),
    };
    match sign_in(exchange, call, tenant, front_end) {
        Ok(reply) => reply,
        Err(error) => error.reply(exchange, call),
    }
}

enum Trouble {
    Reply(Reply),
    Error(SignInError),
}

/// The faults of the token endpoint, and whose turn it is among the front ends.
fn trouble(exchange: &mut Exchange<'_>) -> Result<FrontEnd, Trouble> {
    if exchange.world.meta.faults == Faults::default() {
        return Ok(FrontEnd { propagation: None, index: 1 });
    }
    exchange.world.dirty.counters = true;
    exchange.world.counters.token_requests += 1;
    let number = exchange.world.counters.token_requests;
    let faults = exchange.world.meta.faults.token;
    if strikes(faults.unavailable_every, number) {
        return Err(Trouble::Reply(Reply::empty(503)));
    }
    if strikes(faults.throttled_every, number) {
        return Err(Trouble::Reply(Reply::empty(429).with("Retry-After", "5")));
    }
    if strikes(faults.busy_every, number) {
        let text = "A transient error has occurred. Please try again.";
        return Err(Trouble::Error(SignInError::new(503, "temporarily_unavailable", 90_033, text)));
    }
    if strikes(faults.conditional_access_every, number) {
        return Err(Trouble::Error(SignInError::conditional_access()));
    }
    let propagation = exchange.world.meta.faults.token_propagation;
    let front_ends = u64::from(propagation.map_or(1, |propagation| propagation.front_ends.max(1)));
    let index = u32::try_from(exchange.world.counters.sign_ins % front_ends).unwrap_or(0) + 1;
    exchange.world.counters.sign_ins += 1;
    Ok(FrontEnd { propagation, index })
}

/// The tenant a URL names, by id or by domain.
pub(crate) fn tenant(world: &World, name: &str) -> Result<Uuid, SignInError> {
    let not_found = || {
        SignInError::new(
            400,
            "invalid_request",
            90_002,
            format!(
                "Tenant '{name}' not found. Check to make sure you have the correct tenant ID and are signing into the \
             correct cloud. Check with your subscription administrator, this may happen if there are no active \
             subscriptions for the tenant."
            ),
        )
    };
    if let Ok(id) = name.parse::<Uuid>() {
        return if world.tenants.contains_key(&id) { Ok(id) } else { Err(not_found()) };
    }
    if !name.contains('.') {
        let text = format!(
            "Specified tenant identifier '{name}' is neither a valid DNS name, nor a valid external domain."
        );
        return Err(SignInError::new(400, "invalid_request", 900_023, text));
    }
    let has_domain =
        |domain: &Option<String>| domain.as_ref().is_some_and(|domain| domain.eq_ignore_ascii_case(name));
    let found = world.tenants.values().find(|tenant| has_domain(&tenant.facts.domain));
    found.map(|tenant| tenant.facts.id).ok_or_else(not_found)
}

fn sign_in(
    exchange: &mut Exchange<'_>,
    call: &Call,
    name: &str,
    front_end: FrontEnd,
) -> Result<Reply, SignInError> {
    let form = Form(with_basic(call, form(&String::from_utf8_lossy(&call.body))));
    let spelt = form.get("client_id").unwrap_or_default().to_owned();
    exchange.client_id = spelt.parse().ok();
    let tenant = tenant(exchange.world, name)?;
    match form.get("grant_type") {
        Some("client_credentials") => {}
        Some("urn:ietf:params:oauth:grant-type:device_code") => return Err(pending()),
        Some(other) => {
            let text = format!("The app requested an unsupported grant type '{other}'.");
            return Err(SignInError::new(400, "unsupported_grant_type", 70_003, text));
        }
        None => {
            let text = "The request body must contain the following parameter: 'grant_type'.";
            return Err(SignInError::new(400, "invalid_request", 900_144, text));
        }
    }
    if spelt.is_empty() {
        let text = "The request body must contain the following parameter: 'client_id'.";
        return Err(SignInError::new(400, "invalid_request", 900_144, text));
    }
    let client = client(exchange.world, tenant, name, &spelt)?;
    let holders: Vec<&Object> = client.application.into_iter().chain(Some(client.principal)).collect();
    match (form.get("client_assertion"), form.get("client_secret")) {
        (Some(text), _) => {
            if form.get("client_assertion_type") != Some(BEARER) {
                let text = "The request body must contain the following parameter: 'client_assertion_type'.";
                return Err(SignInError::new(400, "invalid_request", 900_144, text));
            }
            check_assertion(exchange, call, tenant, &spelt, text, &holders, front_end)?;
        }
        (None, Some(secret)) => check_secret(exchange, &spelt, secret, &holders, front_end)?,
        (None, None) => {
            let text = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.";
            return Err(SignInError::client(7_000_218, text));
        }
    }
    let audience = audience(exchange.world, call, tenant, name, form.get("scope").unwrap_or_default())?;
    if exchange.world.tenants.get(&tenant).is_some_and(|found| found.facts.conditional_access) {
        return Err(SignInError::conditional_access());
    }
    let token = tokens::mint(exchange, tenant, client.id, client.principal.id, &audience);
    let seconds = exchange.world.meta.settings.token_lifetime_seconds.saturating_sub(1);
    Ok(Reply::json(
        200,
        json!({"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token}),
    ))
}

/// Client id and secret may come in an `Authorization: Basic` header.
fn with_basic(call: &Call, mut form: Vec<(String, String)>) -> Vec<(String, String)> {
    let basic = call.header("authorization").and_then(|header| header.strip_prefix("Basic "));
    let text =
        basic.and_then(|basic| STANDARD.decode(basic).ok()).and_then(|bytes| String::from_utf8(bytes).ok());
    if let Some((id, secret)) = text.as_deref().and_then(|text| text.split_once(':')) {
        form.push(("client_id".to_owned(), decode(id, true)));
        form.push(("client_secret".to_owned(), decode(secret, true)));
    }
    form
}

/// Who wants to sign in.
struct Client<'a> {
    id: Uuid,
    /// Registered here or in another tenant; a managed identity has none.
    application: Option<&'a Object>,
    principal: &'a Object,
}

fn client<'a>(world: &'a World, tenant: Uuid, name: &str, spelt: &str) -> Result<Client<'a>, SignInError> {
    let unknown = || {
        SignInError::new(
            400,
            "unauthorized_client",
            700_016,
            format!(
                "Application with identifier '{spelt}' was not found in the directory '{name}'. This can happen if the \
             application has not been installed by the administrator of the tenant or consented to by any user in the \
             tenant. You may have sent your authentication request to the wrong tenant."
            ),
        )
    };
    let id: Uuid = spelt.parse().map_err(|_| unknown())?;
    if id.is_nil() {
        let text = format!("{spelt} is not a valid application identifier.");
        return Err(SignInError::new(400, "unauthorized_client", 700_038, text));
    }
    let directory = world.tenants.get(&tenant).ok_or_else(unknown)?;
    let here = directory.live_by_app_id(Kind::Application, id);
    let elsewhere = || world.tenants.values().find_map(|other| other.live_by_app_id(Kind::Application, id));
    let principal = directory.live_by_app_id(Kind::ServicePrincipal, id);
    let Some(principal) = principal else {
        return Err(match here {
            None => unknown(),
            Some(_) => SignInError::client(
                7_000_229,
                format!(
                    "The client application {spelt} is missing service principal in the tenant {tenant}. See instructions \
                 here: https://go.microsoft.com/fwlink/?linkid=2225119"
                ),
            ),
        });
    };
    let application = here.or_else(elsewhere);
    let disabled = principal.flag("accountEnabled") == Some(false)
        || application.is_some_and(|application| application.flag("isDisabled") == Some(true));
    if disabled {
        let text = format!("Application '{spelt}' is disabled.");
        return Err(SignInError::new(400, "unauthorized_client", 7_000_112, text));
    }
    Ok(Client { id, application, principal })
}

fn check_secret(
    exchange: &Exchange<'_>,
    spelt: &str,
    secret: &str,
    holders: &[&Object],
    front_end: FrontEnd,
) -> Result<(), SignInError> {
    let now = exchange.now;
    let known =
        |password: &&PasswordCredential| password.secret == secret && front_end.knows(password.added, now);
    let found: Vec<_> = holders.iter().flat_map(|holder| &holder.passwords).filter(known).collect();
    if found.is_empty() {
        return Err(SignInError::client(
            7_000_215,
            format!(
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not \
             the client secret ID, for a secret added to app '{spelt}'."
            ),
        ));
    }
    match found.iter().any(|password| password.time("endDateTime").is_none_or(|end| now < end)) {
        true => Ok(()),
        false => Err(SignInError::client(
            7_000_222,
            format!(
                "The provided client secret keys for app '{spelt}' are expired. Visit the Azure portal to create new keys for \
             your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: \
             https://aka.ms/certCreds."
            ),
        )),
    }
}

fn check_assertion(
    exchange: &Exchange<'_>,
    call: &Call,
    tenant: Uuid,
    spelt: &str,
    text: &str,
    holders: &[&Object],
    front_end: FrontEnd,
) -> Result<(), SignInError> {
    let malformed = || SignInError::client(50_027, "JWT token is invalid or malformed.");
    let jwt = Jwt::parse(text).ok_or_else(malformed)?;
    let client_id: Uuid = spelt.parse().map_err(|_| malformed())?;
    let issuer = jwt.claim("iss").unwrap_or_default();
    let Some(directory) = exchange.world.tenants.get(&tenant) else { return Err(malformed()) };
    if issuer.parse() != Ok(client_id) && issuer.contains("://") {
        return federation::check(&jwt, &directory.facts, holders, exchange.now, front_end);
    }
    let audiences: Vec<String> = std::iter::once(tenant.to_string())
        .chain(directory.facts.domain.clone())
        .flat_map(|name| {
            ["oauth2/v2.0/token", "v2.0", "oauth2/token"].map(|path| format!("{}/{name}/{path}", call.base))
        })
        .collect();
    let settings = &exchange.world.meta.settings;
    let expected = Expected { client_id, spelt, audiences: &audiences, now: exchange.now, settings };
    assertion::check_claims(&jwt, &expected)?;
    assertion::check_key(&jwt, &expected, holders, front_end)
}

/// The resource a scope names: exactly one, with `/.default`.
fn audience(
    world: &World,
    call: &Call,
    tenant: Uuid,
    name: &str,
    scope: &str,
) -> Result<String, SignInError> {
    let resource =
        scope.strip_suffix("/.default").filter(|resource| !resource.is_empty() && !scope.contains(' '));
    let Some(resource) = resource else {
        return Err(SignInError::new(
            400,
            "invalid_scope",
            1_002_012,
            format!(
                "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with \
             /.default suffixed to the resource identifier (application ID URI)."
            ),
        ));
    };
    if tokens::is_graph(resource, &call.base) || tokens::is_other_resource(resource, &call.base) {
        return Ok(resource.to_owned());
    }
    let is_app = |object: &Object| {
        object.app_id.to_string() == resource
            || object
                .value("identifierUris")
                .and_then(Value::as_array)
                .is_some_and(|uris| uris.iter().any(|uri| uri.as_str() == Some(resource)))
    };
    let directory = world.tenants.get(&tenant);
    if directory.is_some_and(|directory| directory.applications.values().any(is_app)) {
        return Ok(resource.to_owned());
    }
    Err(SignInError::new(
        400,
        "invalid_resource",
        500_011,
        format!(
            "The resource principal named {resource} was not found in the tenant named {name}. This can happen if the \
         application has not been installed by the administrator of the tenant or consented to by any user in the \
         tenant. You might have sent your authentication request to the wrong tenant."
        ),
    ))
}

fn pending() -> SignInError {
    let text = "OAuth 2.0 device flow error. Authorization is pending. Continue polling.";
    SignInError::new(400, "authorization_pending", 70_016, text)
}

/// `POST /{tenant}/oauth2/v2.0/devicecode`: a code nobody will ever enter, since there is nobody here.
pub(crate) fn device_code(exchange: &mut Exchange<'_>, call: &Call, name: &str) -> Reply {
    let form = Form(form(&String::from_utf8_lossy(&call.body)));
    exchange.client_id = form.get("client_id").and_then(|id| id.parse().ok());
    let known = tenant(exchange.world, name).and_then(|_| match form.get("client_id") {
        Some(_) => Ok(()),
        None => Err(SignInError::new(
            400,
            "invalid_request",
            900_144,
            "The request body must contain the following parameter: 'client_id'.",
        )),
    });
    if let Err(error) = known {
        return error.reply(exchange, call);
    }
    let code: String = exchange.request_id.simple().to_string().to_uppercase().chars().take(9).collect();
    let page = format!("{}/device", call.base);
    Reply::json(
        200,
        json!({
            "user_code": code, "device_code": exchange.request_id.simple().to_string(), "verification_uri": page,
            "expires_in": 900, "interval": 5,
            "message": format!("To sign in, use a web browser to open the page {page} and enter the code {code} to authenticate."),
        }),
    )
}
