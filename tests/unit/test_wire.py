"""The parts of the wire that need no network: hosts, challenges, waits, pacing."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsprawl.errors import AuthError, ConfigError, RetryableError, UnreadableError
from unsprawl.secret import Secret
from unsprawl.wire import hosts
from unsprawl.wire.bearer import BearerFlow, parse_challenges
from unsprawl.wire.faults import explain
from unsprawl.wire.pacing import Pace
from unsprawl.wire.patience import Again, Patience, retry_after

NOW = datetime(2025, 6, 15, 12, 0, 0, tzinfo=UTC)


# --- hosts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://registry.acme.test", "https://registry.acme.test"),
        ("https://acme.test:8443/wiki/", "https://acme.test:8443/wiki"),
        ("http://[::1]:5000/", "http://[::1]:5000"),
        ("https://acme.test/?token=x#part", "https://acme.test"),
    ],
)
def test_a_base_is_scheme_host_and_path(url, expected):
    assert hosts.base_url(url) == expected


@pytest.mark.parametrize(
    "url", ["ftp://acme.test", "acme.test", "https://", "https://acme.test:0", "https://a b", ""]
)
def test_what_is_no_http_address_is_refused(url):
    with pytest.raises(ConfigError, match="not an http or https address"):
        hosts.base_url(url)


def test_userinfo_in_an_address_is_refused_without_being_repeated():
    with pytest.raises(ConfigError) as refused:
        hosts.base_url("https://bot:hunter2@acme.test")
    assert "hunter2" not in str(refused.value) + refused.value.hint


def test_a_path_lies_below_the_base():
    assert hosts.join("https://acme.test/proxy", "/v2/") == "https://acme.test/proxy/v2/"
    assert hosts.join("https://acme.test", "https://other.test/x") == "https://other.test/x"


@pytest.mark.parametrize(
    ("base", "location", "reason"),
    [
        ("https://acme.test", "http://acme.test/x", "unencrypted"),
        ("http://acme.test", "http://169.254.169.254/latest/", "link-local"),
        ("https://acme.test", "https://[fe80::1]/", "link-local"),
        ("https://acme.test", "https://127.0.0.1/", "this machine"),
        ("https://acme.test", "https://localhost/", "this machine"),
        ("https://acme.test", "file:///etc/passwd", "not http"),
        ("https://acme.test", "https://a b.test/", "not http"),
        ("https://acme.test", "https://[::1", "address that is none"),
    ],
)
def test_redirects_that_are_not_followed(base, location, reason):
    with pytest.raises(UnreadableError, match=reason):
        hosts.redirect(f"{base}/v2/", location, base)


def test_redirects_that_are_followed():
    assert hosts.redirect("https://a.test/v2/x", "/y", "https://a.test") == "https://a.test/y"
    assert (
        hosts.redirect("https://a.test/", "https://cdn.test/b?sig=1", "https://a.test")
        == "https://cdn.test/b?sig=1"
    )
    assert hosts.redirect("http://127.0.0.1:1/", "http://127.0.0.1:2/x", "http://127.0.0.1:1")


def test_what_is_shown_of_an_address_holds_no_userinfo_no_query_and_no_control_characters():
    shown = hosts.shown("https://me:pw@cdn.test:444/a\x1b[31mb?X-Signature=s#f")
    assert shown == "https://cdn.test:444/a?[31mb"
    assert hosts.shown("https://[::1") == "(malformed address)"


@given(st.text(max_size=80))
def test_showing_never_fails_and_stays_on_one_line(text):
    assert hosts.shown(text).isprintable()


# --- challenges ----------------------------------------------------------------------------------


def test_a_challenge_with_commas_in_quotes():
    header = 'Bearer realm="https://auth.test/token",service="a, b",scope="repository:x:pull,push"'
    (one,) = parse_challenges(header)
    assert one.scheme == "bearer"
    assert one.parameters == {
        "realm": "https://auth.test/token",
        "service": "a, b",
        "scope": "repository:x:pull,push",
    }


def test_several_challenges_in_one_header():
    header = 'Negotiate, Basic realm="say \\"hi\\"", charset=UTF-8 , Bearer  realm = "r"'
    found = parse_challenges(header)
    assert [one.scheme for one in found] == ["negotiate", "basic", "bearer"]
    assert found[1].parameters == {"realm": 'say "hi"', "charset": "UTF-8"}
    assert found[2].parameters == {"realm": "r"}


@given(st.text(alphabet='Bearer ="\\,;\t xyz', max_size=60))
def test_no_challenge_makes_the_parser_fail(header):
    for one in parse_challenges(header):
        assert one.scheme == one.scheme.lower()


# --- realms --------------------------------------------------------------------------------------


class _Answers:
    """Stands in for the client of the realm: records what it was built with."""

    def __init__(self):
        self.asked = []

    def __call__(self, base, credentials=None):
        self.asked.append((base, credentials.headers("") if credentials else {}))
        raise UnreadableError("asked")


def _renew(base, realm, *, user="bot", realms=()):
    answers = _Answers()
    secret = Secret("hunter2") if user else None
    flow = BearerFlow(base, user, secret, realms, client=answers)
    with pytest.raises(UnreadableError, match="asked"):
        flow.renew("repository:x:pull", f'Bearer realm="{realm}",service="s"')
    return answers.asked[0]


@pytest.mark.parametrize(
    ("base", "realm", "realms"),
    [
        ("https://reg.test", "https://reg.test/token", ()),
        ("https://reg.test", "https://reg.test:8443/token", ()),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5001/token", ()),
        ("http://127.0.0.1:5000", "http://localhost:5001/token", ()),
        ("https://reg.test", "https://auth.test/token", ("auth.test",)),
        ("https://registry-1.docker.io", "https://auth.docker.io/token", ()),
    ],
)
def test_realms_that_are_given_the_login(base, realm, realms):
    _, headers = _renew(base, realm, realms=realms)
    assert headers["authorization"].startswith("Basic ")


def test_a_stranger_asks_any_encrypted_realm_without_a_login():
    assert _renew("https://reg.test", "https://auth.test/token", user="") == ("https://auth.test", {})


@pytest.mark.parametrize(
    ("base", "realm"),
    [
        ("https://reg.test", "https://evil.test/token"),
        ("https://reg.test", "http://evil.test/token"),
        ("https://reg.test", "http://reg.test/token"),
        ("https://registry-1.docker.io", "http://auth.docker.io/token"),
        ("https://reg.test", "https://reg.test.evil.test/token"),
    ],
)
def test_realms_that_would_steal_the_login(base, realm):
    answers = _Answers()
    flow = BearerFlow(base, "bot", Secret("hunter2"), client=answers)
    with pytest.raises(AuthError, match="refused") as refused:
        flow.renew("", f'Bearer realm="{realm}"')
    assert "token_realms" in refused.value.hint
    assert answers.asked == []


def test_a_token_alone_is_sent_as_it_is_and_never_exchanged():
    flow = BearerFlow("https://reg.test", "", Secret("opaque"))
    assert flow.headers("x") == {"authorization": "Bearer opaque"}
    assert flow.renew("x", 'Bearer realm="https://reg.test/token"') is False


def test_basic_is_tried_once():
    flow = BearerFlow("https://reg.test", "bot", Secret("pw"))
    assert flow.headers("") == {}
    assert flow.renew("", 'Basic realm="r"') is True
    assert flow.headers("") == {"authorization": "Basic Ym90OnB3"}
    assert flow.renew("", 'Basic realm="r"') is False


# --- patience ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("17", 17.0),
        (" 0 ", 0.0),
        ("Sun, 15 Jun 2025 12:01:30 GMT", 90.0),
        ("Sun, 15 Jun 2025 11:00:00 GMT", 0.0),
        ("Sun, 15 Jun 2025 12:01:30", 90.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        (None, None),
        ("9" * 400, 86_400 * 365),
        ("²", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header, seconds):
    assert retry_after(header, NOW) == seconds


@given(st.text(max_size=40))
def test_no_retry_after_is_negative_or_a_failure(header):
    seconds = retry_after(header)
    assert seconds is None or seconds >= 0


def _failing(times, error):
    calls = []

    def attempt():
        calls.append(1)
        if len(calls) <= times:
            raise error
        return "done"

    return attempt, calls


def test_what_may_mend_is_tried_again():
    attempt, calls = _failing(2, Again(RetryableError("busy")))
    assert Patience(first=0.001, longest=0.001).run(attempt) == "done"
    assert len(calls) == 3


def test_patience_ends_after_its_attempts_with_the_plain_error():
    attempt, calls = _failing(99, Again(RetryableError("busy", hint="later")))
    with pytest.raises(RetryableError, match="busy") as spent:
        Patience(attempts=3, first=0.001, longest=0.001).run(attempt)
    assert len(calls) == 3
    assert spent.value.hint == "later"


def test_what_cannot_mend_is_not_tried_again():
    attempt, calls = _failing(99, UnreadableError("gone"))
    with pytest.raises(UnreadableError):
        Patience(first=0.001).run(attempt)
    assert len(calls) == 1


def test_where_nobody_listens_patience_is_short_whatever_it_is_elsewhere():
    attempt, calls = _failing(99, Again(RetryableError("refused"), soon=True))
    with pytest.raises(RetryableError, match="refused"):
        Patience(first=30, longest=0.001).run(attempt)
    assert len(calls) == 3


def test_a_wait_longer_than_the_patience_ends_the_matter_at_once():
    attempt, calls = _failing(99, Again(RetryableError("come tomorrow", retry_after=80_000)))
    with pytest.raises(RetryableError, match="come tomorrow") as spent:
        Patience(total=5).run(attempt)
    assert len(calls) == 1
    assert spent.value.retry_after == 80_000


def test_a_wait_that_was_asked_for_is_obeyed():
    import time

    attempt, _ = _failing(1, Again(RetryableError("busy", retry_after=0.2)))
    began = time.monotonic()
    assert Patience(first=0.001, longest=0.001).run(attempt) == "done"
    assert time.monotonic() - began >= 0.2


# --- faults ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            httpx2.ConnectError("[Errno -2] Name or service not known"),
            "the name acme.test:443 cannot be resolved",
        ),
        (httpx2.ConnectError("[Errno 111] Connection refused"), "acme.test:443 refused the connection"),
        (httpx2.ConnectError("All connection attempts failed"), "acme.test:443 cannot be reached"),
        (httpx2.ConnectTimeout("timed out"), "acme.test:443 cannot be reached: no connection in time"),
        (httpx2.ReadTimeout("timed out"), "acme.test:443 stopped answering"),
        (httpx2.ReadError("reset by peer"), "acme.test:443 broke the connection"),
        (httpx2.RemoteProtocolError("Server disconnected"), "acme.test:443 broke the connection"),
    ],
)
def test_what_may_mend_is_told_in_one_line(error, words):
    again = explain(error, "https://me:pw@acme.test/x?token=s3cret")
    assert isinstance(again, Again)
    assert again.error.message == words


@pytest.mark.parametrize(
    ("words", "soon"),
    [
        ("[Errno 111] Connection refused", True),
        ("[Errno -2] Name or service not known", True),
        ("[Errno -3] Temporary failure in name resolution", False),
        ("All connection attempts failed", False),
    ],
)
def test_what_nobody_answers_for_is_tried_for_a_moment_only(words, soon):
    again = explain(httpx2.ConnectError(words), "https://acme.test/x")
    assert isinstance(again, Again)
    assert again.soon is soon


def test_a_certificate_that_is_not_trusted_will_not_mend():
    error = httpx2.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed")
    told = explain(error, "https://acme.test/")
    assert isinstance(told, RetryableError)
    assert "not trusted" in told.message
    assert "SSL_CERT_FILE" in told.hint


# --- pacing --------------------------------------------------------------------------------------


class _Clock:
    def __init__(self):
        self.now = 100.0
        self.slept = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(round(seconds, 3))
        self.now += seconds


def test_requests_are_spread_over_time():
    clock = _Clock()
    pace = Pace(0.5, clock, clock.sleep)
    for _ in range(3):
        pace.wait()
    assert clock.slept == [0.5, 0.5]


def test_a_pause_holds_everyone():
    clock = _Clock()
    pace = Pace(0.0, clock, clock.sleep)
    pace.wait()
    pace.pause(7)
    pace.wait()
    pace.wait()
    assert clock.slept == [7.0]
