# SPDX-License-Identifier: Apache-2.0
"""A control plane of a few lines for tests of its client: answers from a table of functions, and remembers what came."""
import http.server
import json
import threading


class FakeControl:
    """answers: {(method, path without query): function(request) -> (status, object) or a list of steps}. Each request is kept in `seen`."""

    def __init__(self):
        self.answers, self.seen, self.lock = {}, [], threading.Condition()
        control = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def log_message(self, *_):
                pass

            def serve(self):
                size = int(self.headers.get('Content-Length') or 0)
                raw = self.rfile.read(size)
                path, _, query = self.path.partition('?')
                request = {'method': self.command, 'path': path, 'query': query, 'headers': dict(self.headers),
                           'body': json.loads(raw) if raw else None}
                with control.lock:
                    control.seen.append(request)
                    control.lock.notify_all()
                    answer = control.answers.get((self.command, path))
                if answer is None:
                    answer = 404, {'type': 'about:blank', 'title': 'Not found', 'status': 404, 'code': 'not-found', 'detail': path}
                elif callable(answer):
                    answer = answer(request)
                if answer is None:  # cut the connection without an answer
                    self.close_connection = True
                    self.connection.close()
                    return
                status, body, *headers = answer
                if isinstance(body, bytes):
                    data, kind = body, 'text/event-stream'
                else:
                    data = b'' if body is None else json.dumps(body).encode()
                    kind = 'application/json' if status < 400 else 'application/problem+json'
                self.send_response(status)
                self.send_header('Content-Type', kind)
                for name, value in (headers[0] if headers else {}).items():
                    self.send_header(name, value)
                self.send_header('Content-Length', str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = serve

        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.server.daemon_threads = True
        self.url = f'http://127.0.0.1:{self.server.server_port}'
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={'poll_interval': 0.02})
        self.thread.start()

    def on(self, method, path, answer):
        with self.lock:
            self.answers[method, path] = answer

    def requests(self, method, path):
        with self.lock:
            return [r for r in self.seen if (r['method'], r['path']) == (method, path)]

    def wait_for(self, what, timeout=60):
        """Until what() is true; it is asked after each request."""
        with self.lock:
            assert self.lock.wait_for(what, timeout), [(r['method'], r['path'], r['body']) for r in self.seen][-20:]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def problem(status, code, title, **members):
    return status, {'type': 'about:blank', 'title': title, 'status': status, 'code': code, **members}
