"""A mail server that does what a test wants of it: takes mails, or fails in one way; with STARTTLS, TLS and AUTH."""

import base64
import email
import email.policy
import socket
import ssl
import subprocess
import threading
from contextlib import contextmanager


class Mail:
    """One that was taken: its envelope, its headers, its parts."""

    def __init__(self, sender, recipients, raw, login, is_tls):
        self.sender, self.recipients, self.raw, self.login, self.is_tls = sender, recipients, raw, login, is_tls
        self.message = email.message_from_bytes(raw, policy=email.policy.default)

    def __getitem__(self, name):
        return self.message[name]

    def __repr__(self):
        return f"<{self['Message-ID']} {self['Subject']}>"

    def part(self, kind):
        (found,) = (part for part in self.message.walk() if part.get_content_type() == kind)
        return found.get_content()

    @property
    def text(self):
        return self.part("text/plain")


class MailServer:
    """fault: None, or one of: refuse defer (the recipient), refuse_data defer_data (after the mail), hang_greeting,
    hang_data, hang_quit, close_data (after the mail, without an answer), no_starttls, down. Mails that were answered with 250, or
    may have been taken, are in `mails`."""

    def __init__(self, certificate=None, implicit_tls=False, login=None):
        self.fault, self.mails, self.connections = None, [], 0
        self.login, self.implicit_tls = login, implicit_tls
        self.context = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*certificate)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.is_over = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        return f"{'smtps' if self.implicit_tls else 'smtp'}://127.0.0.1:{self.port}"

    def close(self):
        self.is_over.set()
        self.socket.shutdown(socket.SHUT_RDWR)  # or whoever waits for a connection still takes one
        self.socket.close()

    def _accept(self):
        while not self.is_over.is_set():
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            if self.fault == "down":
                return
            if self.implicit_tls:
                connection = self.context.wrap_socket(connection, server_side=True)
            Talk(self, connection).run()
        except (OSError, EOFError):
            pass
        finally:
            connection.close()


class Talk:
    def __init__(self, server, connection):
        self.server, self.is_tls, self.login = server, server.implicit_tls, None
        self._take(connection)
        self._forget()

    def _take(self, connection):
        self.connection, self.file = connection, connection.makefile("rb")

    def _forget(self):
        self.sender, self.recipients = None, []

    def say(self, *lines):
        self.connection.sendall(b"".join(line.encode() + b"\r\n" for line in lines))

    def read(self):
        line = self.file.readline()
        if not line:
            raise EOFError
        return line

    def hang(self):
        self.server.is_over.wait()
        raise EOFError

    def run(self):
        if self.server.fault == "hang_greeting":
            self.hang()
        self.say("220 test ESMTP")
        while True:
            line = self.read().decode().rstrip("\r\n")
            verb = line.split(" ")[0].upper()
            if verb == "QUIT":
                if self.server.fault == "hang_quit":
                    self.hang()
                self.say("221 bye")
                return
            handler = getattr(self, f"on_{verb.lower()}", None)
            handler(line) if handler else self.say("502 unknown")

    def on_ehlo(self, line):
        has_starttls = self.server.context and not self.is_tls and self.server.fault != "no_starttls"
        words = ["250-test", *(["250-STARTTLS"] if has_starttls else []), *(["250-AUTH PLAIN"] if self.server.login else [])]
        self.say(*words, "250 HELP")

    def on_starttls(self, line):
        self.say("220 go")
        self.connection = self.server.context.wrap_socket(self.connection, server_side=True)
        self.is_tls = True
        self._take(self.connection)

    def on_auth(self, line):
        words = line.split(" ")
        if len(words) < 3:
            self.say("334 ")
            words.append(self.read().decode().strip())
        _, user, password = base64.b64decode(words[2]).decode().split("\0")
        self.login = (user, password)
        self.say("235 fine" if self.login == self.server.login else "535 no")

    def on_mail(self, line):
        if self.server.login and self.login != self.server.login:
            self.say("530 log in first")
            return
        self.sender = line[line.index("<") + 1 : line.index(">")]
        self.say("250 fine")

    def on_rcpt(self, line):
        recipient = line[line.index("<") + 1 : line.index(">")]
        answer = {"refuse": "550 no such user", "defer": "451 later"}.get(self.server.fault)
        if recipient.startswith("nobody@"):
            answer = "550 no such user"
        if not answer:
            self.recipients.append(recipient)
        self.say(answer or "250 fine")

    def on_data(self, line):
        self.say("354 go on")
        lines = []
        while (line := self.read()) != b".\r\n":
            lines.append(line[1:] if line.startswith(b".") else line)
        fault = self.server.fault
        if fault == "hang_data":
            self.hang()
        answer = {"refuse_data": "554 not this", "defer_data": "452 full"}.get(fault)
        if not answer:
            self.server.mails.append(Mail(self.sender, self.recipients, b"".join(lines), self.login, self.is_tls))
        if fault == "close_data":
            self.connection.shutdown(socket.SHUT_RDWR)
            raise EOFError
        self._forget()
        self.say(answer or "250 taken")


@contextmanager
def serving(**how):
    server = MailServer(**how)
    try:
        yield server
    finally:
        server.close()


def certificate(folder, name, address="127.0.0.1"):
    """A self-signed one for that address: its files (certificate, key)."""
    made = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-addext", f"subjectAltName=IP:{address}", "-keyout", str(made[1]), "-out", str(made[0])],
        check=True, capture_output=True)  # fmt: skip
    made[0].chmod(0o644)
    return made
