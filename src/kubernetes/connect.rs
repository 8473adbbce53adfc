//! How an API server is found and signed in to: a kubeconfig of the operator's, or the cluster certroll runs in.
#![allow(clippy::disallowed_methods, reason = "reads the operator's kubeconfig")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper_util::client::proxy::matcher::Matcher;
use kube::Config;
use kube::client::ClientBuilder;
use kube::config::{AuthInfo, ExecInteractiveMode, KubeConfigOptions, Kubeconfig};
use secrecy::ExposeSecret;
use tokio::sync::OnceCell;

use super::transport::{KubeTransport, sign_in_failure};
use crate::connections::{Connection, Operator};
use crate::edges::{Trouble, TroubleKind};
use crate::net::{Service, Way, causes, is_loopback};

/// What a plugin of a kubeconfig sees of the run's variables: what such plugins sign in with, and nothing of certroll's.
const PLUGIN_SEES: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "TMPDIR",
    "TZ",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];
const PLUGIN_SEES_ALL: &[&str] =
    &["AZURE_", "AAD_", "ARM_", "MSI_", "IDENTITY_", "AWS_", "CLOUDSDK_", "GOOGLE_", "XDG_", "LC_"];

/// Where an API server is and who we are to it.
#[derive(Clone)]
enum Source {
    /// Files of the operator's, the first of which wins.
    Files { paths: Vec<PathBuf>, said_by: String },
    /// The service account of the pod.
    Pod,
}

/// One API server. Nothing is read or sent before it is first used.
pub struct Cluster {
    source: Source,
    context: Option<String>,
    /// Whether a plugin of the kubeconfig may be run.
    plugins: bool,
    /// Variables a plugin may not see.
    hidden: Vec<String>,
    /// Hosts that are reached past the proxy of the environment.
    no_proxy: String,
    way: Way,
    service: OnceCell<Service>,
}

impl Cluster {
    /// The cluster of that connection, or without one that of `KUBECONFIG`, or the one this runs in. A kubeconfig whose user
    /// signs in with a plugin is refused when it is first used, unless `plugins` may be run.
    pub fn choose(
        operator: &Operator,
        connection: Option<&Connection>,
        context: Option<&str>,
        way: Way,
        plugins: bool,
    ) -> Result<Arc<Cluster>, Trouble> {
        let named =
            connection.and_then(|named| Some((named.text("kubeconfig")?, named.variable("kubeconfig"))));
        let given = named.or_else(|| Some((operator.variable("KUBECONFIG")?, "KUBECONFIG".to_owned())));
        let source = match given {
            Some((list, said_by)) => Source::Files { paths: std::env::split_paths(list).collect(), said_by },
            None if operator.variable("KUBERNETES_SERVICE_HOST").is_some() => Source::Pod,
            None => {
                let reason = "KUBECONFIG is not set, and this is no pod";
                return Err(refused(reason).with_hint(
                    "set KUBECONFIG to the file (kubectl's own is ~/.kube/config), or let the store name a connection",
                ));
            }
        };
        if context.is_some() && matches!(source, Source::Pod) {
            return Err(refused("a context was declared, and there is no kubeconfig in a pod")
                .with_hint("set KUBECONFIG, or leave `context` out"));
        }
        let hidden = hidden(operator.variables());
        let no_proxy = operator.variable("NO_PROXY").or_else(|| operator.variable("no_proxy"));
        let no_proxy = no_proxy.unwrap_or_default().to_owned();
        let (context, service) = (context.map(str::to_owned), OnceCell::new());
        Ok(Arc::new(Cluster { source, context, plugins, hidden, no_proxy, way, service }))
    }

    /// An API server that is reached already.
    pub fn reached(service: Service) -> Arc<Cluster> {
        let way = service.way().clone();
        let (source, service) = (Source::Pod, OnceCell::new_with(Some(service)));
        let (hidden, no_proxy) = (Vec::new(), String::new());
        Arc::new(Cluster { source, context: None, plugins: false, hidden, no_proxy, way, service })
    }

    /// Who signs in to it, for messages. Nothing is read.
    pub(crate) fn signs_in(&self) -> String {
        match (&self.source, &self.context) {
            (Source::Pod, _) => "the pod's service account".to_owned(),
            (Source::Files { said_by, .. }, None) => format!("the user of the kubeconfig in {said_by}"),
            (Source::Files { said_by, .. }, Some(context)) => {
                format!("the user of context {context} of the kubeconfig in {said_by}")
            }
        }
    }

    /// The way to its API.
    pub(super) async fn service(&self) -> Result<&Service, Trouble> {
        self.service.get_or_try_init(|| self.connect()).await
    }

    async fn connect(&self) -> Result<Service, Trouble> {
        let config = match &self.source {
            Source::Pod => Config::incluster().map_err(|error| {
                refused(&causes(&error))
                    .with_hint("the pod needs its service account's token (automountServiceAccountToken)")
            })?,
            Source::Files { paths, said_by } => self.configured(paths, said_by).await?,
        };
        self.check_user(&config.auth_info)?;
        if config.accept_invalid_certs {
            return Err(refused(
                "insecure-skip-tls-verify is set: keys are not sent to a server nobody knows",
            )
            .with_hint("name its certificate-authority in the kubeconfig"));
        }
        let url = &config.cluster_url;
        let root = format!(
            "{}://{}",
            url.scheme_str().unwrap_or("http"),
            url.authority().map_or("", |a| a.as_str())
        );
        // Tries again are the service's.
        let mut config = config;
        config.default_retry = false;
        let client = ClientBuilder::try_from(config).map_err(|error| match &error {
            kube::Error::Auth(error) => {
                Trouble::new(TroubleKind::Authentication, CONNECTING, sign_in_failure(error))
                    .with_hint("run kubectl with the same kubeconfig and see what it says")
            }
            other => refused(&causes(other)),
        })?;
        let way = Way { transport: Arc::new(KubeTransport(client.build())), ..self.way.clone() };
        Service::new("kubernetes", &root, way)
    }

    async fn configured(&self, paths: &[PathBuf], said_by: &str) -> Result<Config, Trouble> {
        // The parser's own words may quote a credential.
        let wrong = |path: &Path| {
            let known = path.is_file();
            let reason = if known { "cannot be understood" } else { "cannot be read" };
            refused(&format!("{} {reason}", path.display())).with_hint(format!("check {said_by}"))
        };
        let mut merged = Kubeconfig::default();
        let mut found = false;
        for path in paths.iter().filter(|path| !path.as_os_str().is_empty()) {
            // kubectl passes over files of the list that are not there.
            if paths.len() > 1 && !path.exists() {
                continue;
            }
            let next = Kubeconfig::read_from(path).map_err(|_| wrong(path))?;
            merged = merged.merge(next).map_err(|_| wrong(path))?;
            found = true;
        }
        if !found {
            return Err(refused("there is no kubeconfig").with_hint(format!("check {said_by}")));
        }
        for user in merged.auth_infos.iter_mut().filter_map(|named| named.auth_info.as_mut()) {
            self.confine_plugin(user);
        }
        let names_proxy = self.names_proxy(&merged);
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let config = Config::from_custom_kubeconfig(merged, &options).await;
        let mut config = config.map_err(|error| {
            let reason = match &error {
                kube::config::KubeconfigError::CurrentContextNotSet => "no context is chosen".to_owned(),
                kube::config::KubeconfigError::LoadContext(name) => format!("there is no context {name}"),
                kube::config::KubeconfigError::LoadClusterOfContext(name) => {
                    format!("there is no cluster {name}")
                }
                _ => "the kubeconfig does not say how to reach and sign in to a cluster".to_owned(),
            };
            refused(&reason).with_hint(format!("check {said_by} with kubectl config view"))
        })?;
        // kube looks for the proxy's own host in NO_PROXY, not for the cluster's.
        if !names_proxy && self.is_past_proxy(&config.cluster_url) {
            config.proxy_url = None;
        }
        Ok(config)
    }

    /// Whether the kubeconfig itself names a proxy for the cluster that is meant.
    fn names_proxy(&self, kubeconfig: &Kubeconfig) -> bool {
        let context = self.context.as_ref().or(kubeconfig.current_context.as_ref());
        let context = kubeconfig.contexts.iter().find(|known| Some(&known.name) == context);
        let cluster = context.and_then(|known| Some(&known.context.as_ref()?.cluster));
        let cluster = kubeconfig.clusters.iter().find(|known| Some(&known.name) == cluster);
        let proxy = cluster.and_then(|known| known.cluster.as_ref()?.proxy_url.as_ref());
        proxy.is_some_and(|proxy| !proxy.is_empty())
    }

    /// Whether the environment's proxy is not for that address.
    fn is_past_proxy(&self, url: &http::Uri) -> bool {
        let any = Matcher::builder().all("http://proxy.invalid").no(self.no_proxy.as_str()).build();
        is_loopback(url.host().unwrap_or_default()) || any.intercept(url).is_none()
    }

    /// Nothing is run by who only looks, and what nobody can confine is run by nobody.
    fn check_user(&self, user: &AuthInfo) -> Result<(), Trouble> {
        let cannot = |reason: &str| {
            Trouble::new(TroubleKind::Authentication, CONNECTING, reason).with_hint(
                "give the kubeconfig a user with a token, a token file or a client certificate, or run in the cluster",
            )
        };
        if user.auth_provider.is_some() {
            return Err(cannot(
                "the kubeconfig's user has an auth-provider, which Kubernetes dropped for plugins",
            ));
        }
        // kube's client would panic at the header.
        let fits = |token: &str| token.bytes().all(|b| b.is_ascii_graphic());
        if user.token.as_ref().is_some_and(|token| !fits(token.expose_secret())) {
            return Err(Trouble::new(
                TroubleKind::Authentication,
                CONNECTING,
                "the token of the kubeconfig's user holds a line break, or what else no token has",
            ));
        }
        if user.exec.is_some() && !self.plugins {
            return Err(cannot("the kubeconfig's user signs in with a plugin, and only apply runs one"));
        }
        Ok(())
    }

    /// A plugin asks nobody, and sees no secret of certroll's.
    fn confine_plugin(&self, user: &mut AuthInfo) {
        if let Some(plugin) = &mut user.exec {
            plugin.interactive_mode = Some(ExecInteractiveMode::Never);
            // What the kubeconfig itself gives a plugin stays.
            let given: Vec<&String> = plugin.env.iter().flatten().filter_map(|env| env.get("name")).collect();
            let hidden = self.hidden.iter().filter(|name| !given.contains(name)).cloned().collect();
            plugin.drop_env = Some(hidden);
        }
    }
}

const CONNECTING: &str = "connecting to kubernetes";

fn refused(reason: &str) -> Trouble {
    Trouble::new(TroubleKind::Refused, CONNECTING, reason)
}

fn hidden(variables: &BTreeMap<String, String>) -> Vec<String> {
    let seen = |name: &&String| {
        PLUGIN_SEES.contains(&name.as_str()) || PLUGIN_SEES_ALL.iter().any(|start| name.starts_with(start))
    };
    variables.keys().filter(|name| !seen(name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_names_clusters_by_name_domain_and_network() {
        let no_proxy = "10.0.0.0/8,.svc.example.com,api.eu.example.com".to_owned();
        let operator = Operator::new(
            [("NO_PROXY".to_owned(), no_proxy), ("KUBECONFIG".to_owned(), "x".to_owned())].into(),
            None,
            Default::default(),
        );
        let way = Way {
            transport: Arc::new(crate::net::HttpsTransport::new(Default::default()).unwrap()),
            clock: Arc::new(crate::cli::clock::SystemClock),
            random: Arc::new(crate::random::SystemRandom),
            in_flight: Arc::new(tokio::sync::Semaphore::new(1)),
            retry: Default::default(),
        };
        let cluster = Cluster::choose(&operator.unwrap(), None, None, way, false).unwrap();
        for (url, past) in [
            ("https://10.96.0.1:6443", true),
            ("https://eu.svc.example.com", true),
            ("https://api.eu.example.com:6443", true),
            ("https://127.0.0.1:6443", true),
            ("https://[::1]:6443", true),
            ("https://11.0.0.1:6443", false),
            ("https://api.us.example.com", false),
        ] {
            assert_eq!(cluster.is_past_proxy(&url.parse().unwrap()), past, "{url}");
        }
    }
}
