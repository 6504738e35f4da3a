use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustls::{
    ServerConfig, ServerConnection, Stream,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// An HTTPS server for `localhost` that answers 200 to whatever comes, with the certificate in this folder.
pub struct TlsReceiver {
    pub port: u16,
    requests: Arc<AtomicUsize>,
}

impl TlsReceiver {
    pub fn start(folder: &Path) -> Self {
        Self::start_at("127.0.0.1", folder)
    }

    /// At another address of the loopback, which is not in the certificate.
    pub fn start_at(address: &str, folder: &Path) -> Self {
        let certificates = CertificateDer::pem_file_iter(folder.join("cert.pem")).unwrap().collect::<Result<_, _>>();
        let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
        let config =
            ServerConfig::builder().with_no_client_auth().with_single_cert(certificates.unwrap(), key).unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind((address, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serve(stream, Arc::clone(&config)).is_some() {
                    count.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        Self { port, requests }
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// `None`: there was no request; the other side may not have liked the certificate.
fn serve(mut stream: TcpStream, config: Arc<ServerConfig>) -> Option<()> {
    let mut connection = ServerConnection::new(config).ok()?;
    let mut tls = Stream::new(&mut connection, &mut stream);
    let mut seen = Vec::new();
    let mut buffer = [0; 4_096];
    while !seen.ends_with(b"}") {
        match tls.read(&mut buffer).ok()? {
            0 => return None,
            n => seen.extend_from_slice(&buffer[..n]),
        }
    }
    tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").ok()?;
    tls.conn.send_close_notify();
    tls.flush().ok()
}
