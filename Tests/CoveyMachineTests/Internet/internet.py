"""A small internet: HTTP and echo on its addresses, and a name server whose answers a file says.

Arguments: a JSON file {"NAME": ["ADDRESS", ...]}, read again for each question. Prints `ready` once all listen.
"""
import json
import socket
import socketserver
import struct
import sys
import threading

names = sys.argv[1]
addresses = ["203.0.113.1", "203.0.113.2", "203.0.113.53"]


class Web(socketserver.BaseRequestHandler):
    """Says which address was asked, and who asked."""

    def handle(self):
        request = self.request.recv(4096)
        body = "%s from %s\n" % (self.request.getsockname()[0], self.client_address[0])
        if request:
            self.request.sendall(
                b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body.encode()))


class Echo(socketserver.BaseRequestHandler):
    """Answers each piece with itself, for as long as the caller likes."""

    def handle(self):
        while True:
            piece = self.request.recv(4096)
            if not piece:
                return
            self.request.sendall(piece)


class Datagrams(socketserver.BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        sock.sendto(data, self.client_address)


class Names(socketserver.BaseRequestHandler):
    """Answers A with a time to live of 1 s, and everything else with nothing."""

    def handle(self):
        query, sock = self.request
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        kind = struct.unpack(">H", query[at + 1:at + 3])[0]
        question = query[12:at + 5]
        with open(names) as file:
            known = json.load(file).get(".".join(labels).lower())
        found = (known or []) if kind == 1 else []
        flags = 0x8180 if known is not None else 0x8183
        answer = query[:2] + struct.pack(">HHHHH", flags, 1, len(found), 0, 0) + question
        for address in found:
            answer += struct.pack(">HHHIH", 0xC00C, 1, 1, 1, 4) + socket.inet_aton(address)
        sock.sendto(answer, self.client_address)


class Threads(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 1024


servers = [Threads((address, 80), Web) for address in addresses[:2]]
servers += [Threads((address, 7000), Echo) for address in addresses[:2]]
servers += [socketserver.ThreadingUDPServer((address, 7001), Datagrams) for address in addresses[:2]]
servers += [socketserver.ThreadingUDPServer((address, 53), Names) for address in addresses[1:]]
for server in servers:
    threading.Thread(target=server.serve_forever, daemon=True).start()
print("ready", flush=True)
threading.Event().wait(1800)
