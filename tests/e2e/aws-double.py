#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""ECR's GetAuthorizationToken, Secrets Manager's GetSecretValue, SSM's GetParameters and S3's HeadBucket and
GetObject (of buckets in eu-west-3) for one laboratory: aws-double.py PORT DIRECTORY. Takes requests only when their signature is right, by the keys of the
environment or those the control plane in DIRECTORY gave to a role; secrets, parameters and buckets are files
of DIRECTORY/secrets, DIRECTORY/parameters and DIRECTORY/buckets. Tells on standard error who asked what."""
import base64, glob, http.server, json, os, re, sqlite3, sys, time
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

PORT, LAB = int(sys.argv[1]), sys.argv[2]


def known_keys():
    yield os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"], None, "instance"
    for path in glob.glob(LAB + "/controlplane/*"):
        try:
            with sqlite3.connect("file:%s?mode=ro" % path, uri=True) as db:
                for doc, arn in db.execute("SELECT doc, role_arn FROM role_credentials"):
                    d = json.loads(doc)
                    yield d["accessKeyId"], d["secretAccessKey"], d.get("sessionToken"), arn
        except sqlite3.DatabaseError:
            pass


def who(headers, body, method="POST", path="/"):
    """The owner of the keys that made the signature; None: nobody did."""
    given = headers.get("Authorization", "")
    m = re.match(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d+)/([^/]+)/([^/]+)/aws4_request, ?"
                 r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$", given)
    for key, secret, token, owner in known_keys() if m else ():
        if key != m[1]:
            continue
        r = AWSRequest(method, "http://127.0.0.1:%d%s" % (PORT, path), data=body)
        for name in m[5].split(";"):
            r.headers[name] = headers.get(name, "")
        r.context["timestamp"] = headers["X-Amz-Date"]
        signer = (S3SigV4Auth if m[4] == "s3" else SigV4Auth)(Credentials(key, secret, None), m[4], m[3])
        text = signer.string_to_sign(r, signer.canonical_request(r))
        if signer.signature(text, r) == m[6] and (headers.get("X-Amz-Security-Token") or None) == (token or None):
            return owner
    return None


class Service(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, obj):
        body = json.dumps(obj).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def from_s3(self):
        """The bucket's region is told to everybody; the object goes to who signs for that region."""
        owner = who(self.headers, b"", self.command, self.path)
        print("%s %s by %s" % (self.command, self.path, owner), file=sys.stderr, flush=True)
        file = LAB + "/buckets" + self.path
        there = re.fullmatch(r"(/[a-z][a-z.]*){1,2}", self.path) and os.path.exists(file)
        right = owner and (self.command == "HEAD" or "/eu-west-3/s3/" in self.headers["Authorization"])
        error = None if there and right else ("NoSuchKey", "not there") if right else ("AccessDenied", "not yours")
        body = b"<Error><Code>%s</Code><Message>%s</Message></Error>" % tuple(e.encode() for e in error) if error \
            else b"" if self.command == "HEAD" else open(file, "rb").read()
        self.send_response(200 if not error else 404 if right else 403)
        if there or not right:
            self.send_header("x-amz-bucket-region", "eu-west-3")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = from_s3

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        target = self.headers.get("X-Amz-Target", "")
        owner = who(self.headers, body)
        print("%s by %s: %s" % (target, owner, body.decode()), file=sys.stderr, flush=True)
        if not owner:
            return self.answer(400, {"__type": "InvalidSignatureException", "message": "no such signature"})
        if target == "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken":
            token = base64.b64encode(b"AWS:" + open(LAB + "/ecr-password", "rb").read().strip()).decode()
            return self.answer(200, {"authorizationData": [{
                "authorizationToken": token, "expiresAt": time.time() + 43200,
                "proxyEndpoint": "https://%s.dkr.ecr.us-west-2.amazonaws.com" % json.loads(body)["registryIds"][0]}]})
        if target == "secretsmanager.GetSecretValue":
            name = json.loads(body)["SecretId"].split(":")[-1]
            if not re.fullmatch(r"[a-z]+", name) or not os.path.exists(LAB + "/secrets/" + name):
                return self.answer(400, {"__type": "ResourceNotFoundException",
                                         "Message": "Secrets Manager can't find the specified secret."})
            return self.answer(200, {"Name": name, "SecretString": open(LAB + "/secrets/" + name).read()})
        if target == "AmazonSSM.GetParameters":
            names = json.loads(body)["Names"]
            files = {n: LAB + "/parameters/" + n for n in names if re.fullmatch(r"[a-z]+", n)}
            found = {n: open(f).read() for n, f in files.items() if os.path.exists(f)}
            return self.answer(200, {"Parameters": [{"Name": n, "Value": v} for n, v in found.items()],
                                     "InvalidParameters": [n for n in names if n not in found]})
        return self.answer(400, {"__type": "UnknownOperationException"})


http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Service).serve_forever()
