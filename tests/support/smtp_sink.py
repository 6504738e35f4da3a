"""A real SMTP server (aiosmtpd) for tests and demo: STARTTLS and AUTH required, scripted faults, an HTTP side to look and steer.

usage: SMTP_PASSWORD=… smtp_sink.py FOLDER    prints "SMTP_PORT HTTP_PORT IMPLICIT_TLS_PORT"; the CA's certificate is FOLDER/ca.pem

Faults are taken one a mail, when it has come in whole:
  "451 4.3.0 later" | "550 5.1.1 no" | "354 what"   that reply, nothing kept
  "drop"        kept, then the connection is cut before the reply
  "hold"        kept, then no reply until POST /release
  "silence N"   kept, the reply after N seconds
POST /replies takes rules for what comes before: {"at": "greet" | "ehlo" | "starttls" | "auth" | "mail" | "rcpt" | "data" | "quit",
"to": the recipient (of rcpt; absent: any), "say": a reply | "cut" | "hold" (until POST /release),
"times": 1}. null clears all of them.
GET /met says which mails met which fault.
"""
import asyncio, datetime, email, email.policy, hashlib, http.server, ipaddress, json, os, random, socket, ssl, sys, threading
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

folder = sys.argv[1]
mails, faults, met, rules = [], [], [], []
state = {"mails_begun": 0, "held_data": 0, "held_replies": 0, "connects": 0}
password = os.environ["SMTP_PASSWORD"].encode()


def certificates():
    now = datetime.datetime.now(datetime.timezone.utc)
    name = lambda cn: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)])
    def build(subject, issuer, key, signer, extensions):
        b = (x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer)).public_key(key.public_key())
             .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
             .not_valid_after(now + datetime.timedelta(days=2)))
        for extension, critical in extensions:
            b = b.add_extension(extension, critical)
        return b.sign(signer, hashes.SHA256())
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = build("test ca", "test ca", ca_key, ca_key, [(x509.BasicConstraints(ca=True, path_length=0), True)])
    alt = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    leaf = build("localhost", "test ca", key, ca_key, [(x509.BasicConstraints(ca=False, path_length=None), True), (alt, False)])
    pem = serialization.Encoding.PEM
    write = lambda file, data: open(os.path.join(folder, file), "wb").write(data)
    write("ca.pem", ca.public_bytes(pem))
    write("cert.pem", leaf.public_bytes(pem))
    write("key.pem", key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))


def read(content):
    """As a mail program of today shows it."""
    m = email.message_from_bytes(content, policy=email.policy.default)
    text, html = m.get_body(("plain",)), m.get_body(("html",))
    line = lambda name: None if m[name] is None else ", ".join(
        f'"{a.display_name}" <{a.addr_spec}>' if "," in a.display_name else str(a) for a in m[name].addresses)
    body = lambda part: None if part is None else part.get_content().replace("\r\n", "\n").removesuffix("\n")
    files = [(part, part.get_payload(decode=True)) for part in m.iter_attachments()] if m.is_multipart() else []
    return {
        "to": line("to"), "replyTo": line("reply-to"), "subject": m["subject"], "text": body(text), "html": body(html),
        "attachments": [{"name": part.get_filename(), "type": part.get_content_type(), "bytes": len(data),
                         "sha256": hashlib.sha256(data).hexdigest()} for part, data in files],
    }


class Handler:
    def __init__(self):
        self.release = None

    async def wait(self, what):
        if self.release is None:
            self.release = asyncio.Event()
        state[what] += 1
        await self.release.wait()

    async def scripted(self, server, at, to=None):
        """The reply of the first rule that fits; None: as it would be."""
        rule = next((r for r in rules if r["at"] == at and r.get("to") in (None, to)), None)
        if rule is None:
            return None
        rule["times"] = rule.get("times", 1) - 1
        if rule["times"] == 0:
            rules.remove(rule)
        if rule["say"] == "cut":
            server.transport.abort()
            raise ConnectionResetError
        if rule["say"] == "hold":
            await self.wait("held_replies")
            return None
        return rule["say"]

    async def handle_MAIL(self, server, session, envelope, address, options):
        state["mails_begun"] += 1
        if reply := await self.scripted(server, "mail"):
            return reply
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if reply := await self.scripted(server, "rcpt", address):
            return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        session.host_name = hostname
        state["connects"] += 1
        if reply := await self.scripted(server, "ehlo"):
            return [reply]
        return responses

    async def handle_DATA(self, server, session, envelope):
        fault = faults.pop(0) if faults else ""
        message = email.message_from_bytes(envelope.content)
        if fault:
            met.append({"fault": fault, "id": message["Message-ID"]})
        if fault[:1].isdigit():
            return fault
        mails.append({
            "from": envelope.mail_from, "to": envelope.rcpt_tos, "headers": dict(message.items()),
            "body": envelope.content.decode("utf8", "replace"), "read": read(envelope.content), "tls": session.ssl is not None,
        })
        if fault == "drop":
            server.transport.abort()
        elif fault == "hold":
            await self.wait("held_data")
        elif fault.startswith("silence"):
            await asyncio.sleep(float(fault.split()[1]))
        return "250 2.0.0 queued"


handler = Handler()


def authenticate(server, session, envelope, mechanism, data):
    ok = isinstance(data, LoginPassword) and (data.login, data.password) == (b"u", password)
    return AuthResult(success=ok, handled=ok)


class Server(SMTP):
    """What handlers have no hook for."""
    greeted = False

    async def push(self, status):
        if not self.greeted and str(status).startswith("220"):
            self.greeted = True
            status = await handler.scripted(self, "greet") or status
        await super().push(status)

    async def unless_scripted(self, at, usual, arg):
        if reply := await handler.scripted(self, at):
            await self.push(reply)
        else:
            await usual(arg)

    async def smtp_STARTTLS(self, arg):
        await self.unless_scripted("starttls", super().smtp_STARTTLS, arg)

    async def smtp_AUTH(self, arg):
        await self.unless_scripted("auth", super().smtp_AUTH, arg)

    async def smtp_DATA(self, arg):
        await self.unless_scripted("data", super().smtp_DATA, arg)

    async def smtp_QUIT(self, arg):
        await self.unless_scripted("quit", super().smtp_QUIT, arg)


class Smtp(Controller):
    def factory(self):
        return Server(self.handler, **self.SMTP_kwargs)


def controller(port):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem"))
    c = Smtp(handler, hostname="127.0.0.1", port=port, tls_context=context, require_starttls=True,
             authenticator=authenticate, auth_required=True, auth_require_tls=True)
    c.start()
    return c


def implicit(port):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem"))
    # TLS from the first byte, so that AUTH needs no STARTTLS before it.
    c = Smtp(handler, hostname="127.0.0.1", port=port, ssl_context=context, authenticator=authenticate,
             auth_required=True, auth_require_tls=False)
    c.start()
    return c


def free_port():
    # Below those that the system gives to outgoing connections: one of them could take it before it is bound, or bound again.
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def begin(make):
    # Whoever was faster has the port; then it is another one.
    for _ in range(10):
        port = free_port()
        try:
            return port, make(port)
        except OSError as error:
            print(error, file=sys.stderr, flush=True)
    sys.exit("no port could be had")


class Control(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, value):
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.answer({"/mails": mails, "/met": met, "/state": state}[self.path])

    def do_POST(self):
        global smtp
        body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or "null")
        if self.path == "/faults":
            faults.extend(body)
        elif self.path == "/replies":
            rules[:] = [] if body is None else rules + body
        elif self.path == "/release":
            def release():
                if handler.release is not None:
                    handler.release.set()
                    handler.release = None
            smtp.loop.call_soon_threadsafe(release)
        elif self.path == "/stop":
            smtp.stop()
        elif self.path == "/start":
            handler.release = None
            smtp = controller(port)
        self.answer(state)

    def log_message(self, *args):
        pass


certificates()
port, smtp = begin(controller)
tls_port, tls = begin(implicit)
control = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Control)
print(port, control.server_address[1], tls_port, flush=True)
# Whoever started us holds our standard input open; when it is gone, so are we.
threading.Thread(target=control.serve_forever, daemon=True).start()
sys.stdin.read()
