use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use lettre::{
    Address,
    message::Mailbox,
    transport::smtp::{
        Error,
        authentication::{Credentials, Mechanism},
        client::{AsyncSmtpConnection, Certificate, TlsParameters, TlsVersion},
        commands::{Data, Mail, Rcpt},
        extension::{ClientId, Extension, MailBodyParameter, MailParameter},
        response::{Response, Severity},
    },
};

use super::{
    answer::{Refusal, Sent},
    mask,
    message::Letter,
    sign::Signer,
};
use crate::{
    config::{EmailProfile, SmtpSecurity},
    effects::{CallEnd, card},
    journal::{Answer, Rejection},
};

/// An idle connection older than this is not used again: servers close them.
const IDLE: Duration = Duration::from_secs(60);
const PROBE: Duration = Duration::from_secs(5);
/// "Service not available, closing transmission channel."
const CLOSING: u16 = 421;
/// "Start mail input."
const START_MAIL_INPUT: u16 = 354;
/// How long the reply to QUIT is waited for.
const FAREWELL: Duration = Duration::from_millis(500);
/// Longest reply of a server that is kept, in characters.
const MAX_REPLY: usize = 300;

/// One profile's server, its credential and its idle connections.
pub(super) struct Server {
    pub profile: EmailProfile,
    pub from: Mailbox,
    pub signer: Option<Signer>,
    security: SmtpSecurity,
    tls: TlsParameters,
    hello: ClientId,
    idle: Mutex<Vec<(AsyncSmtpConnection, Instant)>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("host", &self.profile.host).finish_non_exhaustive()
    }
}

impl Server {
    pub fn new(profile: &EmailProfile) -> Result<Self, String> {
        let security = profile.effective_security().ok_or("security is not said")?;
        let from: Mailbox = profile.from.parse().map_err(|e| format!("from: {e}"))?;
        let mut tls = TlsParameters::builder(profile.host.clone()).set_min_tls_version(TlsVersion::Tlsv12);
        if let Some(file) = &profile.ca_file {
            let told = |e: &dyn fmt::Display| format!("ca_file {}: {e}", file.display());
            let pem = std::fs::read(file).map_err(|e| told(&e))?;
            tls = tls.add_root_certificate(Certificate::from_pem(&pem).map_err(|e| told(&e))?);
        }
        let hello = ClientId::Domain(from.email.domain().to_owned());
        Ok(Self {
            tls: tls.build().map_err(|e| format!("TLS: {e}"))?,
            profile: profile.clone(),
            from,
            signer: profile.dkim.as_ref().map(Signer::new).transpose()?,
            security,
            hello,
            idle: Mutex::default(),
        })
    }

    /// One mail on one connection, under one time-out that knows what it interrupts.
    pub async fn send(&self, letter: &Letter, message_id: &str, bytes: &[u8]) -> CallEnd {
        let message_began = AtomicBool::new(false);
        let end =
            tokio::time::timeout(self.profile.timeout, self.converse(letter, message_id, bytes, &message_began)).await;
        end.unwrap_or_else(|_| {
            if message_began.load(Ordering::Relaxed) {
                CallEnd::doubt("the server did not reply to the message in time")
            } else {
                CallEnd::Unreachable("the server did not answer in time; nothing was sent".to_owned())
            }
        })
    }

    async fn converse(&self, letter: &Letter, message_id: &str, bytes: &[u8], message_began: &AtomicBool) -> CallEnd {
        let kept = self.take_idle();
        let was_kept = kept.is_some();
        let mut connection = match kept {
            Some(connection) => connection,
            None => match self.connect(true).await {
                Ok(connection) => connection,
                Err(error) => return unreachable(&error),
            },
        };
        let mut envelope = self.envelope(&mut connection, letter, bytes).await;
        // A connection that died in the pool says nothing about the server. Nothing was sent yet.
        if was_kept && matches!(&envelope, Err(error) if is_over(error)) {
            connection = match self.connect(true).await {
                Ok(connection) => connection,
                Err(error) => return unreachable(&error),
            };
            envelope = self.envelope(&mut connection, letter, bytes).await;
        }
        let refused = match envelope {
            Ok(Envelope::Open(refused)) => refused,
            Ok(Envelope::NobodyLeft(first)) => {
                let end = rejected(first.code, first.message);
                farewell(&mut connection).await;
                return end;
            }
            Ok(Envelope::NotOpen(code)) => {
                return CallEnd::Unreachable(format!("the mail server answered {code} to DATA; nothing was sent"));
            }
            Err(error) => {
                let end = refusal(&error).unwrap_or_else(|| unreachable(&error));
                farewell(&mut connection).await;
                return end;
            }
        };
        message_began.store(true, Ordering::Relaxed);
        match connection.message(bytes).await {
            // Its replies are out of step with our commands: this one is not about the message.
            Ok(reply) if !is_completion(&reply) => {
                CallEnd::doubt(format!("the server answered {} to the message", u16::from(reply.code())))
            }
            Ok(_) => {
                self.put_idle(connection);
                let sent = Sent { message_id: message_id.to_owned(), refused };
                CallEnd::Answer(Answer::Ok(serde_json::json!(sent)))
            }
            Err(error) => match refusal(&error) {
                Some(end) => {
                    // The server answered; the connection is sound, unless the server said that it ends.
                    if !is_over(&error) {
                        self.put_idle(connection);
                    }
                    end
                }
                None => CallEnd::doubt(format!("the reply to the message was lost: {}", plain(&error))),
            },
        }
    }

    /// MAIL, RCPT for each, DATA. Who is refused for good (5xx) is left out, as long as anybody remains. One "not now"
    /// (4xx) ends it before DATA, so that nobody gets the mail twice: a mail is one effect.
    async fn envelope(
        &self,
        connection: &mut AsyncSmtpConnection,
        letter: &Letter,
        bytes: &[u8],
    ) -> Result<Envelope, Error> {
        let mut options = Vec::new();
        let addresses = || std::iter::once(&self.from).chain(&letter.to).map(|mailbox| &mailbox.email);
        if addresses().any(|address| !address.to_string().is_ascii()) {
            options.push(MailParameter::SmtpUtfEight);
        }
        if !bytes.is_ascii() && connection.server_info().supports_feature(Extension::EightBitMime) {
            options.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        connection.command(Mail::new(Some(self.from.email.clone()), options)).await?;
        let mut refused = Vec::new();
        for (recipient, to) in letter.to.iter().enumerate() {
            let to: Address = to.email.clone();
            match connection.command(Rcpt::new(to, Vec::new())).await {
                Ok(_) => {}
                Err(error) => match error.status() {
                    Some(code) if error.is_permanent() => {
                        refused.push(Refusal { recipient, code: code.into(), message: plain(&error) });
                    }
                    _ => return Err(error),
                },
            }
        }
        if refused.len() == letter.to.len() {
            return Ok(Envelope::NobodyLeft(refused.swap_remove(0)));
        }
        let reply = connection.command(Data).await?;
        // lettre takes any 2xx or 3xx for a yes; only this one says "go on" (RFC 5321, 4.3.2).
        match u16::from(reply.code()) {
            START_MAIL_INPUT => Ok(Envelope::Open(refused)),
            other => Ok(Envelope::NotOpen(other)),
        }
    }

    async fn connect(&self, log_in: bool) -> Result<AsyncSmtpConnection, Error> {
        let implicit = (self.security == SmtpSecurity::Tls).then(|| self.tls.clone());
        let server = (self.profile.host.as_str(), self.profile.port);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(server, Some(self.profile.timeout), &self.hello, implicit, None)
                .await?;
        if self.security == SmtpSecurity::Starttls {
            // A server that does not offer it is an error: never on in clear text.
            connection.starttls(self.tls.clone(), &self.hello).await?;
        }
        if log_in && let (Some(user), Some(password)) = (&self.profile.username, &self.profile.password) {
            let credentials = Credentials::new(user.clone(), password.expose().to_owned());
            connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await?;
        }
        Ok(connection)
    }

    pub async fn probe(&self) -> Result<(), String> {
        match tokio::time::timeout(PROBE, self.connect(false)).await {
            Ok(Ok(mut connection)) => {
                farewell(&mut connection).await;
                Ok(())
            }
            Ok(Err(error)) => Err(plain(&error)),
            Err(_) => Err("does not answer".to_owned()),
        }
    }

    fn take_idle(&self) -> Option<AsyncSmtpConnection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, since)| since.elapsed() < IDLE);
        idle.pop().map(|(connection, _)| connection)
    }

    fn put_idle(&self, connection: AsyncSmtpConnection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if !connection.has_broken() && idle.len() < self.profile.pool {
            idle.push((connection, Instant::now()));
        }
    }
}

/// What came of the commands before the message.
enum Envelope {
    /// The server waits for the message, for all but these.
    Open(Vec<Refusal>),
    /// All were refused; this is what was said to the first.
    NobodyLeft(Refusal),
    /// It did not say that it waits: a reply that belongs to something before, or none of SMTP.
    NotOpen(u16),
}

/// QUIT, for good manners: what is known is known, whether it is answered or not.
async fn farewell(connection: &mut AsyncSmtpConnection) {
    let _ = tokio::time::timeout(FAREWELL, connection.abort()).await;
}

fn is_completion(reply: &Response) -> bool {
    reply.code().severity == Severity::PositiveCompletion
}

/// The service ends: 421 (RFC 5321, 3.8), or the connection broke.
fn is_over(error: &Error) -> bool {
    error.status().is_none_or(|code| u16::from(code) == CLOSING)
}

/// A reply of the server to this mail: 421 "I close", other 4xx "not now", 5xx "no". Either way nothing was accepted.
fn refusal(error: &Error) -> Option<CallEnd> {
    let status = u16::from(error.status()?);
    Some(if status == CLOSING {
        unreachable(error)
    } else if error.is_permanent() {
        rejected(status, plain(error))
    } else {
        CallEnd::Transient { message: plain(error), retry_after: None }
    })
}

fn rejected(code: u16, message: String) -> CallEnd {
    CallEnd::Answer(Answer::Rejected(Rejection { code: code.to_string(), message, status: Some(code) }))
}

/// Whatever went wrong, it is not about this mail, and nothing was accepted.
fn unreachable(error: &Error) -> CallEnd {
    CallEnd::Unreachable(format!("the mail server cannot be used: {}", plain(error)))
}

/// lettre's text, whose parts are the server's; one line, bounded, naming nobody.
fn plain(error: &Error) -> String {
    let mut text = error.to_string();
    if let Some(source) = std::error::Error::source(error) {
        let source = source.to_string();
        if !text.contains(&source) {
            text = format!("{text}: {source}");
        }
    }
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    card::veiled(mask::words(&line)).chars().take(MAX_REPLY).collect()
}
