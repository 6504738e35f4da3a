use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use reqwest::{StatusCode, header, redirect};
use tokio::{
    io::AsyncReadExt,
    sync::{Notify, watch},
};

use super::AuthError;
use crate::{clock::Boottime, config::Jwks};

/// Longest set, in bytes.
const MOST: usize = 256 << 10;
/// Tokens that name unknown keys have it looked at again at most once in this time: anybody can make such tokens.
const ONCE_IN: Duration = Duration::from_secs(30);
/// After a look that failed, at the latest.
const AGAIN: Duration = Duration::from_secs(30);

/// Where a set of keys is, and how the last look at it went.
pub(super) struct Source {
    config: Jwks,
    /// For a URL.
    client: Option<reqwest::Client>,
    state: Mutex<State>,
    /// Rings when somebody wants a look.
    wanted: Notify,
    /// Counts the looks that are over.
    looks: watch::Sender<u64>,
}

struct State {
    /// A look is under way, or will be in a moment.
    busy: bool,
    /// When an unknown key was the reason for the last time.
    asked: Option<Boottime>,
    /// Why the last look brought nothing; the keys from before hold.
    trouble: Option<String>,
}

impl Source {
    pub fn new(issuer: &str, config: &Jwks) -> Result<Self, AuthError> {
        let client = match &config.url {
            Some(_) => Some(client(config).map_err(|_| AuthError::Key(issuer.to_owned()))?),
            None => None,
        };
        // The first look comes with the host's start, so whoever asks before it is over waits for it.
        let state = State { busy: true, asked: None, trouble: Some("was not looked at yet".to_owned()) };
        Ok(Self {
            config: config.clone(),
            client,
            state: Mutex::new(state),
            wanted: Notify::new(),
            looks: watch::Sender::new(0),
        })
    }

    /// For somebody whose token names a key that is not here: whether there will be news soon. To be waited for by
    /// [`Self::news`], taken before this.
    pub fn ask(&self) -> bool {
        let mut state = self.state();
        if state.busy {
            return true;
        }
        if state.asked.is_some_and(|asked| asked.elapsed() < ONCE_IN) {
            return false;
        }
        state.asked = Some(Boottime::now());
        state.busy = true;
        self.wanted.notify_one();
        true
    }

    /// For an operator: a look in any case.
    pub fn look_again(&self) {
        self.state().busy = true;
        self.wanted.notify_one();
    }

    /// Changes with the end of each look.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.looks.subscribe()
    }

    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    pub fn trouble(&self) -> Option<String> {
        self.state().trouble.clone()
    }

    /// The look is over. `trouble`: it brought nothing. Returns the pause until the next one, and whether the trouble is
    /// another than before.
    pub fn looked(&self, trouble: Option<String>) -> (Duration, bool) {
        let mut state = self.state();
        let is_news = state.trouble != trouble;
        let pause = if trouble.is_some() { self.config.refresh.min(AGAIN) } else { self.config.refresh };
        state.busy = false;
        state.trouble = trouble;
        drop(state);
        self.looks.send_modify(|looks| *looks += 1);
        (pause, is_news)
    }

    pub fn begin(&self) {
        self.state().busy = true;
    }

    /// The set's text, or why it cannot be had; without the URL, which may hold a token.
    pub async fn fetch(&self) -> Result<Vec<u8>, String> {
        match (&self.client, &self.config) {
            (Some(client), Jwks { url: Some(url), .. }) => get(client, url).await,
            (_, Jwks { file: Some(file), .. }) => {
                let read = async {
                    let mut text = Vec::new();
                    let file = tokio::fs::File::open(file).await?;
                    file.take(MOST as u64 + 1).read_to_end(&mut text).await.map(|_| text)
                };
                let text = read.await.map_err(|error| format!("cannot be read: {error}"))?;
                if text.len() > MOST { Err(too_long()) } else { Ok(text) }
            }
            _ => Err("is nowhere".to_owned()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// No proxy, no redirect: the answer decides who comes in, so it is of whom the operator named.
fn client(config: &Jwks) -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .no_proxy()
        .https_only(!config.allow_http)
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .timeout(config.timeout)
        .connect_timeout(config.timeout)
        .pool_max_idle_per_host(0)
        .user_agent(concat!("Usher/", env!("CARGO_PKG_VERSION")))
        .build()
}

async fn get(client: &reqwest::Client, url: &str) -> Result<Vec<u8>, String> {
    let request = client.get(url).header(header::ACCEPT, "application/jwk-set+json, application/json");
    let mut response = request.send().await.map_err(|error| said(&error))?;
    if response.status() != StatusCode::OK {
        return Err(format!("is answered by {}", response.status().as_u16()));
    }
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| said(&error))? {
        if text.len() + chunk.len() > MOST {
            return Err(too_long());
        }
        text.extend_from_slice(&chunk);
    }
    Ok(text)
}

fn too_long() -> String {
    format!("has more than {} KiB", MOST >> 10)
}

fn said(error: &reqwest::Error) -> String {
    match error {
        error if error.is_timeout() => "is not answered in time",
        error if error.is_connect() => "cannot be reached",
        _ => "is not answered in whole",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Source {
        let config = Jwks {
            url: None,
            file: Some("/nowhere".into()),
            refresh: Duration::from_secs(600),
            timeout: Duration::from_secs(1),
            allow_http: false,
        };
        Source::new("test", &config).expect("a source")
    }

    #[test]
    fn unknown_keys_are_a_reason_to_look_once_in_a_while() {
        let source = source();
        assert!(source.ask(), "the first look is on its way");
        assert_eq!(source.looked(None).0, Duration::from_secs(600));
        assert!(source.ask(), "a look begins");
        assert!(source.ask(), "and others wait for the same one");
        source.looked(None);
        assert!(!source.ask(), "too soon");
        source.look_again();
        assert!(source.ask(), "somebody else wanted one");
    }

    #[test]
    fn trouble_is_told_once_and_looked_at_soon() {
        let source = source();
        let trouble = || Some("cannot be reached".to_owned());
        assert_eq!(source.looked(trouble()), (AGAIN, true));
        assert_eq!(source.looked(trouble()), (AGAIN, false));
        assert_eq!(source.trouble(), trouble());
        assert_eq!(source.looked(None), (Duration::from_secs(600), true));
        assert_eq!(source.trouble(), None);
    }

    #[tokio::test]
    async fn a_file_is_read_and_bounded() {
        let path = std::env::temp_dir().join(format!("usher-jwks-{}", uuid::Uuid::new_v4()));
        let config = Jwks { file: Some(path.clone()), ..source().config };
        let source = Source::new("test", &config).expect("a source");
        assert!(source.fetch().await.expect_err("not there").contains("cannot be read"));
        std::fs::write(&path, "{}").expect("written");
        assert_eq!(source.fetch().await.expect("there"), b"{}");
        std::fs::write(&path, vec![b' '; MOST + 1]).expect("written");
        assert!(source.fetch().await.expect_err("too long").contains("256 KiB"));
        std::fs::remove_file(path).expect("removed");
    }
}
