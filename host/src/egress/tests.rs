use std::{
    io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use reqwest::header::HeaderMap;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{Egress, Refused, SendError, Settings, guard::Lookup};

fn egress(allowed: &[String], lookup: Lookup) -> Egress {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = Settings { timeout: Duration::from_secs(5), user_agent: "test", allowed };
    Egress::with_lookup(&settings, lookup).expect("a client")
}

/// Answers with one list after another, and then with the last one.
fn names(answers: &[&[&str]]) -> (Lookup, Arc<AtomicUsize>) {
    let answers: Vec<Vec<IpAddr>> =
        answers.iter().map(|list| list.iter().map(|a| a.parse().expect("an address")).collect()).collect();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let lookup: Lookup = Arc::new(move |_| {
        let n = count.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
        let answer = answers[n].clone();
        Box::pin(async move { Ok(answer) })
    });
    (lookup, asked)
}

fn no_names() -> Lookup {
    Arc::new(|_| Box::pin(async { Err(io::Error::other("no name is asked for")) }))
}

/// Addresses that are none of the open internet, in every notation that a URL takes.
const PRIVATE: [&str; 74] = [
    // Loopback: dotted, decimal, octal, hexadecimal, mixed, short, with a trailing dot, and by other digits.
    "127.0.0.1",
    "127.255.255.254",
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0177.0.0.1",
    "0x7f.0.0.1",
    "0x7f.1",
    "127.1",
    "127.0.1",
    "127.0.0.1.",
    "1%327.0.0.1",
    "①②⑦.⓪.⓪.①",
    // This network and unspecified.
    "0.0.0.0",
    "0",
    "0x0",
    "0.1.2.3",
    // Private.
    "10.0.0.1",
    "10.255.255.255",
    "167772161",
    "012.0.0.1",
    "0xa.1",
    "172.16.0.1",
    "172.31.255.255",
    "0xac.0x10.1",
    "192.168.0.1",
    "192.168.255.255",
    "3232235521",
    "0300.0250.0.1",
    "192.168.257",
    // Carriers' shared space.
    "100.64.0.1",
    "100.127.255.255",
    // Link-local and metadata.
    "169.254.0.1",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    // Protocol assignments, documentation, 6to4 relays, benchmarks.
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    // Multicast, reserved, broadcast.
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "4294967295",
    // IPv6: unspecified, loopback, compatible and mapped.
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:10.0.0.1]",
    "[::ffff:8.8.8.8]",
    "[::ffff:0:127.0.0.1]",
    // NAT64, global and local.
    "[64:ff9b::7f00:1]",
    "[64:ff9b::8.8.8.8]",
    "[64:ff9b:1::a00:1]",
    // 6to4, Teredo, ISATAP.
    "[2002:7f00:1::]",
    "[2002:a00:1::1]",
    "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
    "[2001:4860::5efe:10.0.0.1]",
    "[2001:4860::200:5efe:7f00:1]",
    // Unique local, link-local, site-local, multicast.
    "[fc00::1]",
    "[fd12:3456:789a::1]",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
    // Documentation, discard, benchmarks.
    "[2001:db8::1]",
    "[3fff::1]",
    "[100::1]",
];

#[tokio::test]
async fn no_notation_of_a_special_address_is_called() {
    let egress = egress(&[], no_names());
    for host in PRIVATE {
        for url in [format!("https://{host}/hook"), format!("https://{host}:8443/hook")] {
            assert_eq!(egress.check(&url).await, Err(Refused::Private), "{url}");
            let sent = egress.post(&url, HeaderMap::new(), String::new()).await;
            assert_eq!(sent, Err(SendError::Refused(Refused::Private)), "{url}");
        }
    }
}

#[tokio::test]
async fn a_name_that_leads_to_a_special_address_is_not_called() {
    for host in PRIVATE {
        // As an address, by the parser that knows all notations.
        let url = url::Url::parse(&format!("https://{host}")).expect(host);
        let address = url.host_str().expect("a host").trim_matches(['[', ']']).to_owned();
        for answer in [vec![&*address], vec!["8.8.8.8", &*address], vec![&*address, "2001:4860:4860::8888"]] {
            let (lookup, _) = names(&[&answer]);
            let egress = egress(&[], lookup);
            assert_eq!(egress.check("https://hooks.example.com").await, Err(Refused::Private), "{answer:?}");
            let sent = egress.post("https://hooks.example.com", HeaderMap::new(), String::new()).await;
            assert_eq!(sent, Err(SendError::Refused(Refused::Private)), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn addresses_of_the_open_internet_pass() {
    for address in [
        "1.1.1.1",
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.1",
        "172.15.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "198.17.0.1",
        "223.255.255.255",
        "2001:4860:4860::8888",
        "2606:4700::1111",
        "2a00:1450:4001::1",
    ] {
        let (lookup, _) = names(&[&[address]]);
        let egress = egress(&[], lookup);
        assert_eq!(egress.check("https://hooks.example.com/x?y=z").await, Ok(()), "{address}");
        let literal = if address.contains(':') { format!("https://[{address}]") } else { format!("https://{address}") };
        assert_eq!(egress.check(&literal).await, Ok(()));
    }
}

#[tokio::test]
async fn a_name_that_turns_private_between_look_and_call_is_not_called() {
    // Who listens hears of it.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let port = listener.local_addr().expect("an address").port();
    let (lookup, asked) = names(&[&["93.184.215.14"], &["127.0.0.1"]]);
    let egress = egress(&[], lookup);
    let url = format!("https://rebind.example.com:{port}/");
    assert_eq!(egress.check(&url).await, Ok(()), "at first it is public");
    let sent = egress.post(&url, HeaderMap::new(), "{}".to_owned()).await;
    assert_eq!(sent, Err(SendError::Refused(Refused::Private)));
    assert_eq!(
        asked.load(Ordering::SeqCst),
        2,
        "looked up once for the call: what was looked at is what is connected to"
    );
    let nobody = tokio::time::timeout(Duration::from_millis(200), listener.accept()).await;
    assert!(nobody.is_err(), "nobody connected");
}

#[tokio::test]
async fn what_is_no_plain_https_url_is_refused() {
    let (lookup, _) = names(&[&["8.8.8.8"]]);
    let egress = egress(&[], lookup);
    for (url, why) in [
        ("", Refused::NotAUrl),
        ("hooks.example.com", Refused::NotAUrl),
        ("https://", Refused::NotAUrl),
        ("https://[::1%25eth0]/", Refused::NotAUrl),
        ("https://256.1.1.1/", Refused::NotAUrl),
        ("http://hooks.example.com/", Refused::NotHttps),
        ("http://8.8.8.8/", Refused::NotHttps),
        ("ftp://hooks.example.com/", Refused::NotHttps),
        ("file:///etc/passwd", Refused::NotHttps),
        ("gopher://127.0.0.1:6379/_x", Refused::NotHttps),
        ("https://user@hooks.example.com/", Refused::Credentials),
        ("https://user:secret@hooks.example.com/", Refused::Credentials),
        ("https://hooks.example.com@127.0.0.1/", Refused::Credentials),
        ("https://hooks.example.com/#x", Refused::Fragment),
        (&format!("https://hooks.example.com/{}", "x".repeat(2_048)), Refused::TooLong),
    ] {
        assert_eq!(egress.check(url).await, Err(why), "{url}");
    }
    let unknown = self::egress(&[], no_names());
    assert_eq!(unknown.check("https://nobody.example.com").await, Err(Refused::Unresolved));
}

#[tokio::test]
async fn what_the_operator_allows_is_called_and_nothing_beside_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let place = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut seen = [0; 4_096];
            let _ = stream.read(&mut seen).await;
            let _ = stream.write_all(b"HTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    let egress = egress(std::slice::from_ref(&place), no_names());
    let reply = egress.post(&format!("http://{place}/x"), HeaderMap::new(), "{}".to_owned()).await.expect("a reply");
    assert_eq!((reply.status.as_u16(), reply.retry_after), (503, Some(Duration::from_secs(7))));
    assert_eq!(egress.check("http://127.0.0.1:1/x").await, Err(Refused::Private), "another port");
    let name = format!("http://localhost:{}/x", place.rsplit(':').next().expect("a port"));
    assert_eq!(egress.check(&name).await, Err(Refused::NotHttps), "another name for it");
}
