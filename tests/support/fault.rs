//! A way to a provider over HTTP that breaks by script, and keeps what came along it.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::BufReader,
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::{
    PATIENCE, eventually,
    http::{self, Request},
};

/// What happens to one request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The connection is reset; the provider hears nothing.
    CutBefore,
    /// The provider acts; the connection is reset in place of its answer.
    CutAfter,
    /// The provider hears nothing; this is the answer.
    Answer(Reply),
    /// This is the answer, now and to every later request with the same `Idempotency-Key`, as Stripe repeats a 500.
    /// `acted`: the provider heard the first of them.
    Sticky { reply: Reply, acted: bool },
    /// The provider acts at once; its answer comes so much later.
    Delay(Duration),
    /// The provider hears nothing before `release`, be the client still there or not.
    HoldBefore,
    /// The provider acts; its answer waits for `release`.
    HoldAfter,
}

impl Fault {
    /// 429, with the seconds to wait.
    pub fn too_many(retry_after: u32) -> Self {
        let mut reply = Reply::error(429, "rate_limit");
        reply.headers.push(("retry-after".to_owned(), retry_after.to_string()));
        Self::Answer(reply)
    }

    /// 409: another request with this key is under way.
    pub fn conflict() -> Self {
        Self::Answer(Reply::error(409, "idempotency_key_in_use"))
    }

    /// A 500 that the provider does not remember.
    pub fn broken() -> Self {
        Self::Answer(Reply::error(500, "api_error"))
    }

    /// A 500 that repeats itself under its key.
    pub fn broken_for_good(acted: bool) -> Self {
        Self::Sticky { reply: Reply::error(500, "api_error"), acted }
    }

    /// As counted by `Seen::fault`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CutBefore => "cut-before",
            Self::CutAfter => "cut-after",
            Self::Answer(reply) => match reply.status {
                409 => "409",
                429 => "429",
                500 => "500",
                _ => "answer",
            },
            Self::Sticky { .. } => "sticky",
            Self::Delay(_) => "delay",
            Self::HoldBefore => "hold-before",
            Self::HoldAfter => "hold-after",
        }
    }
}

/// An answer that we make up, or the provider's.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    /// In the shape of Stripe's errors.
    pub fn error(status: u16, code: &str) -> Self {
        let kind = if status >= 500 { "api_error" } else { "invalid_request_error" };
        let error = serde_json::json!({"type": kind, "code": code, "message": format!("made up by the tests: {code}")});
        let body = serde_json::json!({ "error": error }).to_string().into_bytes();
        Self { status, headers: vec![("content-type".to_owned(), "application/json".to_owned())], body }
    }

    /// As Stripe marks what it says again.
    fn replayed(mut self) -> Self {
        let mark = ("idempotent-replayed".to_owned(), "true".to_owned());
        if !self.headers.contains(&mark) {
            self.headers.push(mark);
        }
        self
    }
}

/// A request that came along.
#[derive(Clone, Debug)]
pub struct Seen {
    pub request: Request,
    pub fault: Option<&'static str>,
}

struct Rule {
    on: String,
    left: u32,
    fault: Fault,
}

struct Shared {
    target: String,
    http: reqwest::Client,
    rules: Mutex<Vec<Rule>>,
    /// By `Idempotency-Key`.
    sticky: Mutex<HashMap<String, Reply>>,
    seen: Mutex<Vec<Seen>>,
    /// How many are held, since the start.
    held: AtomicU64,
    /// How many came and are not done with.
    under_way: AtomicU64,
    /// How often all that was held has been released.
    releases: watch::Sender<u64>,
}

pub struct FaultProxy {
    /// Use it in place of the provider's.
    pub base: String,
    shared: Arc<Shared>,
}

impl FaultProxy {
    /// In front of a base URL, which may have a path.
    pub async fn start(target: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        // One connection a request, and never a second try: what the provider hears is what the client sent.
        let http = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .retry(reqwest::retry::never())
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .build()
            .unwrap();
        let shared = Arc::new(Shared {
            target: target.trim_end_matches('/').to_owned(),
            http,
            rules: Mutex::default(),
            sticky: Mutex::default(),
            seen: Mutex::default(),
            held: AtomicU64::new(0),
            under_way: AtomicU64::new(0),
            releases: watch::Sender::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let all = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let shared = Arc::clone(&all);
                // An error is the end of one connection.
                tokio::spawn(async move { connection(client, &shared).await });
            }
        });
        Self { base, shared }
    }

    /// The next `times` requests that begin so ("POST /v1/refunds"; "" is any) meet this. The oldest rule that fits wins.
    pub fn on(&self, on: &str, times: u32, fault: Fault) {
        self.shared.rules.lock().unwrap().push(Rule { on: on.to_owned(), left: times, fault });
    }

    /// From now on all passes.
    pub fn clear(&self) {
        self.shared.rules.lock().unwrap().clear();
    }

    /// All that came, in their order.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Waits until so many were held, in all.
    pub async fn wait_held(&self, count: u64) {
        eventually(&format!("{count} requests were held"), async || {
            (self.shared.held.load(Ordering::Relaxed) >= count).then_some(())
        })
        .await;
    }

    /// Lets go of all that is held.
    pub fn release(&self) {
        self.shared.releases.send_modify(|releases| *releases += 1);
    }

    /// Waits until the provider has heard all that came and will.
    pub async fn wait_quiet(&self) {
        eventually("nothing is under way", async || (self.shared.under_way.load(Ordering::Relaxed) == 0).then_some(()))
            .await;
    }
}

impl Shared {
    /// The fault that this request meets, and that one less of its kind is to come.
    fn meet(&self, request: &Request) -> Option<Fault> {
        let first_line = format!("{} {}", request.method, request.path);
        let mut rules = self.rules.lock().unwrap();
        let rule = rules.iter_mut().find(|rule| rule.left > 0 && first_line.starts_with(&rule.on))?;
        rule.left -= 1;
        Some(rule.fault.clone())
    }

    async fn hold(&self) {
        // Before it is counted, so that a release right after `wait_held` is not missed.
        let mut releases = self.releases.subscribe();
        self.held.fetch_add(1, Ordering::Relaxed);
        let _ = releases.changed().await;
    }

    async fn forward(&self, request: &Request) -> Reply {
        let method = reqwest::Method::from_bytes(request.method.as_bytes()).unwrap();
        let mut out = self.http.request(method, format!("{}{}", self.target, request.path)).body(request.body.clone());
        for (name, value) in &request.headers {
            if !["host", "connection", "content-length"].contains(&name.as_str()) {
                out = out.header(name, value);
            }
        }
        // As proxies do: what is signed names the place that the client meant.
        if let Some(host) = request.header("host") {
            out = out.header("x-forwarded-host", host);
        }
        match read(out).await {
            Ok(reply) => reply,
            Err(e) => Reply { status: 502, headers: Vec::new(), body: format!("the provider is away: {e}").into() },
        }
    }
}

/// Counts itself, however its request ends.
struct UnderWay<'a>(&'a AtomicU64);

impl<'a> UnderWay<'a> {
    fn new(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn read(request: reqwest::RequestBuilder) -> reqwest::Result<Reply> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let mut headers = Vec::new();
    for (name, value) in response.headers() {
        if !["connection", "keep-alive", "content-length", "transfer-encoding"].contains(&name.as_str()) {
            headers.push((name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        }
    }
    Ok(Reply { status, headers, body: response.bytes().await?.to_vec() })
}

async fn connection(client: TcpStream, shared: &Shared) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut client = BufReader::new(client);
    while let Some(request) = http::read(&mut client).await? {
        let key = request.header("idempotency-key").map(str::to_owned);
        let repeated =
            key.as_ref().and_then(|key| shared.sticky.lock().unwrap().get(key).cloned()).map(Reply::replayed);
        // What repeats itself uses up no rule.
        let fault = if repeated.is_some() { None } else { shared.meet(&request) };
        let name = if repeated.is_some() { Some("sticky") } else { fault.as_ref().map(Fault::name) };
        shared.seen.lock().unwrap().push(Seen { request: request.clone(), fault: name });
        let _under_way = UnderWay::new(&shared.under_way);
        let reply = match (repeated, fault) {
            (Some(reply), _) | (None, Some(Fault::Answer(reply))) => reply,
            (None, None) => shared.forward(&request).await,
            (None, Some(Fault::CutBefore)) => return client.get_ref().set_zero_linger(),
            (None, Some(Fault::CutAfter)) => {
                shared.forward(&request).await;
                return client.get_ref().set_zero_linger();
            }
            (None, Some(Fault::Sticky { reply, acted })) => {
                if acted {
                    shared.forward(&request).await;
                }
                shared.sticky.lock().unwrap().extend(key.map(|key| (key, reply.clone())));
                reply
            }
            (None, Some(Fault::Delay(wait))) => {
                let reply = shared.forward(&request).await;
                tokio::time::sleep(wait).await;
                reply
            }
            (None, Some(Fault::HoldBefore)) => {
                shared.hold().await;
                shared.forward(&request).await
            }
            (None, Some(Fault::HoldAfter)) => {
                let reply = shared.forward(&request).await;
                shared.hold().await;
                reply
            }
        };
        http::answer(&mut client, reply.status, &reply.headers, &reply.body).await?;
    }
    Ok(())
}
