use super::{PublishError, inspect};
use crate::releases::{
    line_at, line_of,
    manifest::{self, ManifestError},
    policy::PolicyError,
};

/// Where in a component a refusal points.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Of the manifest, counted from 1.
    pub line: Option<usize>,
    /// The import's name.
    pub import: Option<String>,
}

impl PublishError {
    /// Where the author should look, as far as it can be said. Reads the bytes once more, but only those that were taken
    /// for a component before: never what has no good signature.
    pub fn place(&self, bytes: &[u8]) -> Place {
        let import = match self {
            Self::Policy(
                PolicyError::ImportWithoutGrant { interface, .. }
                | PolicyError::UnknownImport { interface }
                | PolicyError::OtherTrack { interface, .. }
                | PolicyError::Sockets { interface },
            ) => Some(interface.clone()),
            _ => None,
        };
        Place { line: self.line(bytes), import }
    }

    fn line(&self, bytes: &[u8]) -> Option<usize> {
        if !matches!(self, Self::Manifest(_) | Self::Policy(_) | Self::Store(_)) {
            return None;
        }
        let embedded = inspect::inspect(bytes).ok()?.embedded?;
        if let Self::Manifest(ManifestError::Toml(error)) = self {
            return error.span().map(|span| line_at(&embedded.manifest, span.start));
        }
        let path = self.path(|| {
            manifest::parse(&embedded.manifest, &embedded.files).map(|manifest| manifest.jobs).unwrap_or_default()
        })?;
        line_of(&embedded.manifest, &path.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The keys that lead there.
    fn path(&self, jobs: impl Fn() -> Vec<crate::releases::JobType>) -> Option<Vec<String>> {
        let job = |job_type: &str, rest: &[&str]| {
            let n = jobs().iter().position(|job| job.job_type == job_type)?.to_string();
            Some(["job", n.as_str()].iter().chain(rest).map(|step| (*step).to_owned()).collect::<Vec<_>>())
        };
        let keys = |steps: &[&str]| Some(steps.iter().map(|step| (*step).to_owned()).collect::<Vec<_>>());
        match self {
            Self::Manifest(ManifestError::Field { place, .. }) => {
                // "job.0.queue (send-email)"
                let place = place.split_once(' ').map_or(place.as_str(), |(place, _)| place);
                Some(place.split('.').map(str::to_owned).collect())
            }
            Self::Policy(error) => match error {
                PolicyError::NoQueue { job_type, .. } | PolicyError::WrongTier { job_type, .. } => {
                    job(job_type, &["queue"])
                }
                PolicyError::Limit { job_type, limit } => job(job_type, &["limits", limit]),
                PolicyError::NotGranted { provider, .. }
                | PolicyError::NotServed { provider }
                | PolicyError::ImportWithoutGrant { provider, .. } => keys(&["grants", provider]),
                PolicyError::Sockets { .. } => keys(&["plugin", "unused_imports"]),
                PolicyError::UnknownImport { .. }
                | PolicyError::UnknownHandler { .. }
                | PolicyError::OtherTrack { .. } => None,
            },
            Self::Store(crate::releases::store::StoreError::TypeTaken { job_type, .. }) => job(job_type, &["type"]),
            Self::Store(crate::releases::store::StoreError::VersionTaken { .. }) => keys(&["plugin", "version"]),
            _ => None,
        }
    }
}
