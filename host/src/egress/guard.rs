use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{Refused, address::is_public};

/// How names become addresses.
pub(super) type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// As the operating system does it.
pub(super) fn system() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

/// The client's own resolver, so that between the look at an address and the connection to it nobody is asked again.
#[derive(Clone)]
pub(super) struct Guard(pub Lookup);

impl Guard {
    /// A name that leads to one address of the wrong kind is refused whole: nobody needs that, but who rebinds.
    pub async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, Refused> {
        let found = (self.0)(name.to_owned()).await.map_err(|_| Refused::Unresolved)?;
        if found.is_empty() {
            return Err(Refused::Unresolved);
        }
        if found.iter().all(|address| is_public(*address)) { Ok(found) } else { Err(Refused::Private) }
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = guard.addresses(name.as_str()).await?;
            // Port 0: the URL's.
            Ok(Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}
