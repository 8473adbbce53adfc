//! The keys of deliveries.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{KeyFormat, PasswordChoice, SecretType};
use crate::desired::PfxProfile;
use crate::ids::Name;

/// A further place a generation is copied to.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[schemars(rename = "Delivery")]
#[allow(dead_code, reason = "a delivery's own keys are handed on as they stand, for its back end to read")]
pub(in crate::desired::file) enum Delivery {
    /// A GitHub Actions secret.
    GithubActions {
        /// `owner/name` of the repository. Excludes organization.
        repository: Option<String>,
        /// Name of the organization. Excludes repository.
        organization: Option<String>,
        /// Environment of the repository.
        environment: Option<String>,
        /// Name of the secret.
        secret: String,
        /// Name of a readable variable that tells which generation the secret holds.
        variable: Option<String>,
        /// What is written.
        format: KeyFormat,
        /// Encryption of a PFX. Default: modern2023.
        profile: Option<PfxProfile>,
        /// Password of a PFX. Default: generate.
        password: Option<PasswordChoice>,
        /// Name of the secret that takes the password of a PFX.
        password_secret: Option<String>,
        /// The operator's connection to use.
        connection: Option<Name>,
    },
    /// A GitLab CI/CD variable.
    GitlabCi {
        /// Path or id of the project. Excludes group.
        project: Option<String>,
        /// Path or id of the group. Excludes project.
        group: Option<String>,
        /// Name of the variable.
        variable: String,
        /// Environment scope. Default: all.
        environment_scope: Option<String>,
        /// Type of the variable. Default: variable.
        #[serde(rename = "type")]
        variable_type: Option<VariableType>,
        /// What is written.
        format: KeyFormat,
        /// Encryption of a PFX. Default: modern2023.
        profile: Option<PfxProfile>,
        /// Password of a PFX. Default: generate.
        password: Option<PasswordChoice>,
        /// Name of the variable that takes the password of a PFX.
        password_secret: Option<String>,
        /// The operator's connection to use.
        connection: Option<Name>,
    },
    /// A variable in an Azure DevOps variable group.
    AzureDevops {
        /// Name of the organization.
        organization: String,
        /// Name of the project.
        project: String,
        /// Name of the variable group.
        variable_group: String,
        /// Name of the variable.
        variable: String,
        /// What is written.
        format: KeyFormat,
        /// Encryption of a PFX. Default: modern2023.
        profile: Option<PfxProfile>,
        /// Password of a PFX. Default: generate.
        password: Option<PasswordChoice>,
        /// Name of the variable that takes the password of a PFX.
        password_secret: Option<String>,
        /// The operator's connection to use.
        connection: Option<Name>,
    },
    /// A Kubernetes Secret.
    Kubernetes {
        /// Kubernetes namespace.
        namespace: String,
        /// Context of the kubeconfig.
        context: Option<String>,
        /// Name of the Secret. Default: the certificate's name.
        name: Option<String>,
        /// Type of the Secret. Default: opaque.
        #[serde(rename = "type")]
        secret_type: Option<SecretType>,
        /// What is written. Default: pem.
        format: Option<KeyFormat>,
        /// Encryption of a PFX. Default: modern2023.
        profile: Option<PfxProfile>,
        /// Password of a PFX. Default: generate.
        password: Option<PasswordChoice>,
        /// Key in the Secret that takes the password of a PFX.
        password_secret: Option<String>,
        /// The operator's connection to use.
        connection: Option<Name>,
    },
    /// A folder on this machine.
    File {
        /// The folder, below the folder of this file.
        directory: String,
        /// Name of the files, without ending. Default: the certificate's name.
        name: Option<String>,
        /// What is written. Default: pem.
        format: Option<KeyFormat>,
        /// Encryption of a PFX. Default: modern2023.
        profile: Option<PfxProfile>,
        /// Password of a PFX. Default: generate.
        password: Option<PasswordChoice>,
        /// Name of the file that takes the password of a PFX.
        password_secret: Option<String>,
        /// The operator's connection to use.
        connection: Option<Name>,
    },
    /// A program of yours, which reads the generation from its standard input.
    Exec {
        /// The program and its arguments.
        #[schemars(length(min = 1))]
        command: Vec<String>,
        /// A program that prints the thumbprint the place holds.
        check: Option<Vec<String>>,
        /// What is written.
        format: KeyFormat,
        /// Encryption of a PFX. Default: modern2023.
        profile: Option<PfxProfile>,
        /// Password of a PFX. Default: generate.
        password: Option<PasswordChoice>,
        /// Name under which the password of a PFX is handed over.
        password_secret: Option<String>,
        /// The operator's connection to use.
        connection: Option<Name>,
    },
}

/// Types of GitLab CI/CD variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::desired::file) enum VariableType {
    Variable,
    File,
}
