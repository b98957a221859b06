"""Labelled lines with other values, and the lines that a model of few rows gets wrong.

Refills keep a row's carrier and replace its value by one of the same class, so that no value is learnt by
heart; some get a placeholder and turn negative. Contrasts are short snippets: names of settings with
secrets beside tables of digests, translations, hashes, public keys, ids, code and messages.
"""

from __future__ import annotations

import random
import re
import string
from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import Final

from unsprawl import lexicon
from unsprawl.models.labelled import Row
from unsprawl.models.surfaces import surface_of
from unsprawl.models.synthesis.texts import LabelledText, Span
from unsprawl.records import Document, Label

__all__ = ["contrasts", "refills"]

_WORDS: Final = """\
apple river stone castle winter summer dragon monkey orange silver golden shadow hunter tiger falcon
thunder sunset forest ocean mountain purple coffee banana pepper ginger cookie soccer hockey tennis
football guitar piano violin diamond crystal phoenix rocket galaxy planet comet saturn jupiter
london paris berlin madrid tokyo oslo vienna prague lisbon athens cairo lima peter maria anna lukas
julia thomas sandra stefan laura oliver sophie emma felix jonas lena elena carlos pablo diego luis
sofia lucia bruno marco luigi giulia pierre jean claude nicolas camille sommer schatz geheim hallo
katze hund sonne mond stern blume garten schule arbeit amor corazon gato perro casa playa verano
bonjour soleil chocolat maison jardin ciao bella mare acqua fuoco terra service backup deploy
monitor report worker agent broker cluster server client master replica node gateway proxy cache
queue stream batch spark kafka redis mongo elastic postgres mysql oracle grafana jenkins docker
swarm vault magic equal simple secure strong hidden access entry open close enter guest admin root
super power user""".split()
_KEYS: Final = """\
password db_password DB_PASSWORD secret client_secret api_key apiKey API_KEY token access_token
auth_token secretKey SECRET_KEY passwd userPassword jwtSecret private_key encryptionKey PGPASSWORD
AUTH_TOKEN spring.datasource.password MYSQL_ROOT_PASSWORD cookieSecret session_secret
consumer_secret signing_key authKey credential webhook_secret admin_pass ssh_pass smtp_password
redis_password passphrase oauth_token bearer_token appKey masterKey keystore.password
aws_secret_access_key""".split()
_OTHER_KEYS: Final = """\
public_key access_key_id key_id client_id oauth_nonce oauth_timestamp sec-websocket-key next cursor
pageToken etag revision commit integrity image digest csrf sort_key partitionKey cacheKey i18nKey
primary_key foreign_key keyframes keyword tokenizer authority author keyName token_type grant_type
auth_method""".split()
_SUFFIXES: Final = """\
_hash _checksum _fingerprint _id _name _type _url _path _file _field _label _hint _policy _length
_expiry _ttl _header _prefix _version _count _digest _md5 _sha256 _index _column _algorithm""".split()
_FILES: Final = """\
lib/keys.rb spec/acceptance/keys_spec.rb manifests/key.pp auth/token.py src/password.js
tests/test_token.py secret_store.go apt_key.rb api/auth.ts docs/api_key.md certs/private.key
token-1.2.3.tar.gz credentials.h""".split()
_SCHEMES: Final = """\
SHA512-CRYPT DSA-1024-FIPS186-2 BOB_cf_sect113r2 ALICE_brainpoolP256r1 RSA-2048-PUBLIC HMAC-SHA256
aes-256-gcm ssh-ed25519 Bearer Basic PLAIN CRAM-MD5 ecdsa-sha2-nistp256""".split()
_TRANSLATIONS: Final = (
    "passwort|lozinka|heslo|senha|contraseña|mot de passe|wachtwoord|salasana|adgangskode|"
    "lösenord|parola|пароль|hasło|jelszó|geslo|slaptažodis|parole|密码|パスワード|비밀번호|kata sandi|"
    "mật khẩu|şifre|Passwort vergessen?|Forgot password?|Password|New password|API key|"
    "Secret key|Token|clave|código|nøgle|chave"
).split("|")
_STAND_INS: Final = (
    "changeme|CHANGE_ME|your_password|your-api-key|<password>|<your-token>|YOUR_TOKEN_HERE|"
    "xxxxxxxx|XXXXXXXXXXXXXXXX|********|${DB_PASSWORD}|$PASSWORD|{{ password }}|%(password)s|"
    "null|None|password_here|insert-key-here|TODO|example|redacted|[REDACTED]|env:SECRET|"
    'process.env.TOKEN|getenv("KEY")|string|<%= token %>|...|undefined|$(cat /run/secrets/db)|'
    "vault:secret/data/db#password|!vault"
).split("|")
_PLAIN: Final = (
    "abcdefghijklmnop|0123456789abcdef|1234567890|aaaaaaaaaaaaaaaa|zyxwvutsrqponm987654|"
    "fffefdfcfbfaf9f8|fake-token|00112233445566778899aabbccddeeff|dummy|secretName|"
    "ABCDEFGHIJKLMNOPQRST|foo|foobar"
).split("|")
_PUBLIC: Final = """\
MFwwDQYJKoZIhvcNAQEBBQAD MIGfMA0GCSqGSIb3DQEBAQUA MIIBIjANBgkqhkiG9w0B AAAAB3NzaC1yc2E
AAAAC3NzaC1lZDI1 MFkwEwYHKoZIzj0CAQYI""".split()
_CARRIERS: Final = """%s = "%s"|%s = '%s'|%s: %s|%s=%s|"%s": "%s",|'%s' => '%s',|%s: "%s"|export %s=%s|- %s=%s
  %s: %s|const %s = "%s";|private static final String %s = "%s";|#%s=%s|// %s: "%s"|%s := "%s"
-e %s=%s \\|ENV %s %s|set%s("%s");|self.%s = "%s"|os.environ["%s"] = "%s"|config["%s"] = "%s"
%s="%s"|"%s":"%s"|--%s=%s""".replace("\n", "|").split("|")
_URLS: Final = """\
postgres://{u}:{v}@{b}:5432/db redis://{u}:{v}@127.0.0.1:6379/0 mysql://{u}:{v}@db.{b}.internal/app
mongodb://{u}:{v}@{b}.io:27017 https://{u}:{v}@{b}.com/repo.git amqp://{u}:{v}@{b}:5672//
redis://:{v}@{b}:6379""".split()
_CALLS: Final = (
    "curl -u {u}:{v} https://{b}.io/api|mysql -u{u} -p{v} {b}|docker login -u {u} -p {v} {b}.io|"
    "sshpass -p {v} ssh {u}@{b}|user={u} password={v} host={b} dbname=x"
).split("|")
_TALK: Final = (
    "Enter your %s: |The %s must be at least 8 characters|Invalid %s: please try again|"
    "Missing %s in request|%s: the password of the user (required)|# %s: see the documentation|"
    'print("%s: " + value)|"%s": {"type": "string"}|help="the %s: used for login"|'
    "@param %s the key: to be used"
).split("|")
_CODE: Final = (
    "{a}.{b}|get{c}()|{a}[{b}]|self.{a}|{a}{c}|this.{a}{c}|{a}_{b}|new {c}({b})|${a}|{a}->{b}|"
    'props.{a}|config.get("{a}")|&{a}|await {a}()|{a} + {b}|req.body.{a}'
).split("|")
_PATHS: Final = """\
config/settings.yml src/main/resources/application.properties docker-compose.yml app/config.py
lib/client.rb src/index.js README.md docs/setup.md test/test_auth.py spec/models/user_spec.rb
src/App.java .env internal/config_test.go deploy/values.yaml .env.example scripts/run.sh main.tf
fixtures/vcr/login.yml src/lib.rs cmd/server/main.go web/login.vue Program.cs logs/build.log
wiki/runbook.md""".split()
_LISTS: Final = "checksums.json package-lock.json MANIFEST SHA256SUMS metadata.json".split()
_LOCALES: Final = """\
app/languages/hr_HR/messages.php locale/de.json i18n/fr/strings.xml lang/es/auth.php
resources/messages_pl.properties src/locales/nl.ts""".split()
_FILLERS: Final = (
    "import os|func main() {|class Config:|    def setUp(self):|  environment:|"
    "    image: redis:6|# configuration|server:|  port: 8080|{|}||    return x|host: localhost|"
    "user: admin|const app = express()|@Test|## Usage|```bash|$ make install|debug: true|"
    "[default]|region = eu-west-1|enabled: true|timeout=30"
).split("|")
_HEX: Final = "0123456789abcdef"
_ALNUM: Final = string.ascii_letters + string.digits
_TALKING: Final = re.compile(
    rb"(?i)label|title|message|error|hint|placeholder|name|type|field|text|locale|lang|trans"
)
_STRONG: Final = frozenset({"Password", "Secret", "Token", "API", "URL Credentials", "CMD Password"})


def refills(rows: Iterable[Row], seed: int, copies: int = 3) -> Iterator[LabelledText]:
    """Rows with other values. The group is ``refill:`` and the repository."""
    draw = random.Random(f"{seed} refills")  # noqa: S311  # the same seed must give the same texts
    for row in rows:
        value = row.text.decode("utf-8", "replace")
        if "-----BEGIN" in value or len(value) > 200:
            continue
        if row.label == "T" and row.is_core:
            for _ in range(copies):
                short = _human(draw) if len(value) < 24 else _machine(draw)
                yield _refilled(row, _alike(draw, value) or short)
            if draw.random() < 0.5:
                yield _refilled(row, draw.choice(_STAND_INS), Label.PLACEHOLDER)
        elif row.label == "F":
            chosen = row.category.partition(":")[0] in _STRONG
            if chosen and _is_quoted(row) and draw.random() < 0.35:
                human = "Password" in row.category or "URL" in row.category
                yield _refilled(row, _human(draw) if human else _machine(draw))
            elif draw.random() < 0.15:
                yield _refilled(row, draw.choice(_STAND_INS), Label.PLACEHOLDER)


def contrasts(seed: int, count: int) -> Iterator[LabelledText]:
    """``count`` snippets; every candidate outside their spans is a negative. The group is ``contrast:``."""
    draw = random.Random(f"{seed} contrasts")  # noqa: S311
    for number in range(count):
        above, below = _lines(draw, 4), _lines(draw, 3)
        above += " " * draw.choice((0, 0, 2, 4, 8))
        value, path = "", draw.choice(_PATHS)
        if draw.random() < 0.4:
            text, value = _secret(draw)
        else:
            text, path = _harmless(draw, path)
        body = f"{above}{text}\n{below}".encode()
        spans: tuple[Span, ...] = ()
        if value:
            start = len(above.encode()) + text.encode().rfind(value.encode())
            label = Label.WEAK if lexicon.is_weak(value.encode()) else Label.REAL
            spans = (Span(start, start + len(value.encode()), label),)
        yield LabelledText(body, path, _surface(path), spans, f"contrast:{number % 500}")


def _surface(path: str) -> str:
    return surface_of(Document(uri=f"file:///{path}", body=b""), path)


def _refilled(row: Row, value: str, label: Label = Label.REAL) -> LabelledText:
    body, (start, end) = row.document.body, row.value
    assert isinstance(body, bytes)
    put = value.encode()
    path = row.document.path
    if label is Label.REAL and lexicon.is_weak(put):
        label = Label.WEAK
    return LabelledText(
        body[:start] + put + body[end:],
        path,
        _surface(path),
        (Span(start, start + len(put), label),),
        f"refill:{row.repository}",
        silent=False,
    )


def _is_quoted(row: Row) -> bool:
    body, (start, end) = row.document.body, row.value
    assert isinstance(body, bytes)
    quote = body[start - 1 : start]
    talk = _TALKING.search(body[row.start : row.end] + row.document.path.encode())
    return quote in (b'"', b"'", b"`") and body[end : end + 1] == quote and not talk


def _drawn(draw: random.Random, size: int, alphabet: str) -> str:
    return "".join(draw.choice(alphabet) for _ in range(size))


def _packed(draw: random.Random, size: int) -> str:
    return b64encode(draw.randbytes(size)).decode()


def _human(draw: random.Random) -> str:
    """A password as people write one."""
    word, kind = draw.choice(_WORDS), draw.random()
    other = draw.choice(_WORDS)
    if kind < 0.16:
        return word
    if kind < 0.30:
        return word + str(draw.randint(0, 9999))
    if kind < 0.40:
        return word.capitalize() + str(draw.randint(1, 2030)) + draw.choice("!@#$%*?.")
    if kind < 0.56:
        return word + draw.choice(["-", "_", ".", "@", "!", "", ""]) + other
    if kind < 0.64:
        return word.capitalize() + draw.choice("@#!_-") + str(draw.randint(10, 2030))
    if kind < 0.72:
        return _drawn(draw, draw.randint(8, 20), _ALNUM + "!@#$%^&*-_+")
    if kind < 0.78:
        return _drawn(draw, draw.randint(5, 14), string.ascii_lowercase)
    if kind < 0.84:
        return _drawn(draw, draw.randint(6, 16), string.ascii_lowercase + string.digits)
    if kind < 0.90:
        leet = word.translate(str.maketrans("aeo", "@30"))
        return leet.capitalize() + str(draw.randint(0, 999))
    if kind < 0.94:
        return draw.choice(["qwerty", "asdfgh", "zxcvbn", "1q2w3e", "abc"]) + str(draw.randint(0, 9999))
    return draw.choice(["test", "dev", "demo", "temp", "my", "db", "prod"]) + word + str(draw.randint(0, 99))


def _machine(draw: random.Random) -> str:
    """A value as a machine draws one."""
    kind = draw.random()
    if kind < 0.25:
        return _drawn(draw, draw.choice((16, 20, 24, 32, 32, 32, 40, 48, 64)), _HEX)
    if kind < 0.60:
        return _drawn(draw, draw.randint(14, 48), _ALNUM)
    if kind < 0.78:
        return _packed(draw, draw.choice((12, 16, 20, 24, 32, 48, 64)))
    if kind < 0.88:
        return _drawn(draw, draw.randint(16, 44), _ALNUM + "-_")
    return _drawn(draw, draw.randint(12, 32), _ALNUM + "!@#%^*+~")


def _alike(draw: random.Random, value: str) -> str:
    """A value of the same class for those that a machine drew, else ""."""
    if re.fullmatch(r"[0-9a-f]{8,}", value):
        return _drawn(draw, len(value), _HEX)
    if re.fullmatch(r"[0-9A-F]{8,}", value):
        return _drawn(draw, len(value), _HEX.upper())
    if not re.fullmatch(r"[A-Za-z0-9+/=_-]{20,}", value):
        return ""
    kinds = (string.ascii_lowercase, string.ascii_uppercase, string.digits)
    return "".join(draw.choice(next((kind for kind in kinds if one in kind), one)) for one in value)


def _secret(draw: random.Random) -> tuple[str, str]:
    kind, key = draw.randrange(8), draw.choice(_KEYS)
    if kind < 5:
        human = "pass" in key.lower() or draw.random() < 0.2
        value = _human(draw) if human else _machine(draw)
        return draw.choice(_CARRIERS) % (key, value), value
    value = _human(draw)
    form = draw.choice(_URLS if kind == 5 else _CALLS)
    return form.format(u=draw.choice(_WORDS), v=value, b=draw.choice(_WORDS)), value


def _harmless(draw: random.Random, path: str) -> tuple[str, str]:
    kind, key, word = draw.randrange(11), draw.choice(_KEYS), draw.choice(_WORDS)
    form = draw.choice(_CARRIERS)
    if kind == 0:
        size, line = draw.choice((32, 40, 64)), draw.choice(('"%s": "%s",', "%s: %s", "%s=%s"))
        names = (draw.choice((*_FILES, f"{word}/{word}.js")) for _ in range(draw.randint(3, 7)))
        return "\n".join(line % (name, _drawn(draw, size, _HEX)) for name in names), draw.choice(_LISTS)
    if kind == 1:
        line = draw.choice(("'%s' => '%s',", '"%s": "%s",', "%s=%s", '%s: "%s"'))
        names = (
            draw.choice(("password", "Password", "token", "secret", key)) for _ in range(draw.randint(2, 6))
        )
        return "\n".join(line % (name, draw.choice(_TRANSLATIONS)) for name in names), draw.choice(_LOCALES)
    if kind == 2:
        name = draw.choice(
            ("password", "user_password", "password_hash", "encrypted_password", "passwd", "hash")
        )
        return form % (name, _hashed(draw)), path
    if kind == 3:
        name = draw.choice(
            ("publicKey", "public_key", "server-public-key", "ssh_key", "hostKey", "verifyKey", "x5c")
        )
        tail = _drawn(draw, draw.randint(40, 200), _ALNUM + "+/")
        return form % (name, draw.choice(_PUBLIC) + tail), path
    if kind == 4:
        value = draw.choice((_machine(draw), f"{word}-{draw.choice(_WORDS)}", _drawn(draw, 40, _HEX), "4711"))
        return form % (key + draw.choice(_SUFFIXES), value), path
    if kind == 5:
        return form % (key, draw.choice(_STAND_INS)), path
    if kind == 6:
        value = draw.choice(
            (_machine(draw), f"{word}_key", word.title() + "Key", "sha512-" + _packed(draw, 64))
        )
        return form % (draw.choice(_OTHER_KEYS), value), path
    if kind == 7:
        other = draw.choice(_WORDS)
        code = draw.choice(_CODE).format(a=word, b=other, c=other.capitalize())
        return draw.choice(("%s = %s", "%s: %s,", "%s := %s", "%s=%s", "let %s = %s;", "%s == %s")) % (
            key,
            code,
        ), path
    if kind == 8:
        return draw.choice(("PrivateKey=%s", "Key = %s", "auth: %s", "token_type: %s")) % draw.choice(
            _SCHEMES
        ), path
    if kind == 9:
        return draw.choice(_TALK) % key, path
    plain = draw.choice((*_PLAIN, f"test-{key}", f"my-{key}", f"some-{word}"))
    return form % (key, plain), path


def _hashed(draw: random.Random) -> str:
    """A password's hash, or an encrypted value."""
    salt = _ALNUM + "./"
    return draw.choice(
        (
            "{SHA}" + _drawn(draw, 40, _HEX),
            "{SSHA}" + _packed(draw, 24),
            "$2a$10$" + _drawn(draw, 53, salt),
            "$6$" + _drawn(draw, 8, _ALNUM) + "$" + _drawn(draw, 86, salt),
            "pbkdf2_sha256$260000$" + _drawn(draw, 12, _ALNUM) + "$" + _packed(draw, 32),
            f"ENC({_packed(draw, 24)})",
            "sha1:" + _drawn(draw, 40, _HEX),
        )
    )


def _lines(draw: random.Random, most: int) -> str:
    return "".join(f"{draw.choice(_FILLERS)}\n" for _ in range(draw.randint(0, most)))
