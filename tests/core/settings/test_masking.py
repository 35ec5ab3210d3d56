"""How connection strings are shown, whatever is mistyped: without their secrets."""

from __future__ import annotations

import pytest

from couchloop.exceptions import InvalidConnectionStringError, InvalidOptionError
from couchloop.settings.connection_string import ConnectionString
from couchloop.settings.masking import masked
from couchloop.settings.options import parse_options


class TestSecrets:
    """Passwords are in encode(), and nowhere else."""

    @pytest.mark.parametrize(
        "text",
        [
            "couchbase://h?password=s3cr3t&x",
            "couchbase://h?x&pass=s3cr3t",
            "couchbase://h?p%61ss=s3cr3t&x=",
            "couchbase://h?Password=s3cr3t&x=",
            "couchbase://h?passwd=s3cr3t&x=",
            "couchbase://h?password=s3cr3t%",
            "couchbase://h?password=a&s3cr3t",
            "couchbase://h?password=s3cr3t?x&y",
            "couchbase://:1?password=s3cr3t",
            'couchbase://h/b/?bucket_cred=["b","s3cr3t"]',
            "couchbase://user:s3cr3t@h",
            "couchbase://user:s3cr3t%40h",
            "couchbase://user:a/s3cr3t@h?a=b",
            "couchbase://user:a?s3cr3t@h?a=b",
            "couchbase://user%3As3cr3t@h",
            "user:s3cr3t@h/b",
            "https://user:s3cr3t@h/b",
            "couchbase:/user:s3cr3t@h/b",
        ],
    )
    def test_errors(self, text: str) -> None:
        """No attribute and no text of an error shows a password, wherever the error is."""
        with pytest.raises(InvalidConnectionStringError) as info:
            ConnectionString.parse(text)
        error = info.value
        for shown in (str(error), repr(error), error.text, repr(error.args), repr(vars(error))):
            assert "s3cr3t" not in shown
        assert "***" in error.text
        assert error.__cause__ is None

    @pytest.mark.parametrize("bucket", ["", "/default"])
    @pytest.mark.parametrize(
        "text",
        [
            "couchbase://h:1{},password=s3cr3t",
            "couchbase://h:1{}=password=s3cr3t",
            "couchbase://h:1{} password=s3cr3t",
            "couchbase://h:1{} password s3cr3t",
            "couchbase://h:1{},pw:s3cr3t",
            "couchbase://h:1%3Ds3cr3t{}",
            "couchbase://user:s3cr3t{}",
            "couchbase://user:12345-s3cr3t{}",
            "couchbase://user:1=s3cr3t{}",
            "couchbase://user%3As3cr3t{}",
            "couchbase://user:s3,cr3t/s3cr3t{}",
            "couchbase://a,user:s3cr3t,b{}",
            "couchbase://s3cr3t@h{}",
            "couchbase:/user:s3cr3t{}",
            "couchbase://[::1]:s3cr3t{}",
            "couchbase://dead:beef:s3cr3t{}",
            "couchbase://h:1{}?operation_timeout=2,password=s3cr3t",
            "couchbase://h:1{}?operation_timeout=2 password=s3cr3t",
            "couchbase://h:1{}?operation_timeout=2%20password%3Ds3cr3t",
            "couchbase://h:1{}?operation_timeout=2,pw=s3cr3t",
            "couchbase://h:1{}?operation_timeout=2 user:s3cr3t",
            "couchbase://h:1{}?operation_timeout=2:s3cr3t",
            "couchbase://h:1{}?sasl_mech_force=PLAIN,pw=s3cr3t",
            "couchbase://h:1{}?retry_policy=all:x,pw=s3cr3t",
            "couchbase://h:1{}?client_string=x,password=s3cr3t",
            "couchbase://h:1{}?user:s3cr3t",
            "couchbase://h:1{}?user:s3cr3t=1",
            "couchbase://h:1{}?user s3cr3t=1",
            "couchbase://h:1{}?pw:s3cr3t",
            "couchbase://h:1{}?pws3cr3t=1",
            "couchbase://h:1{}?secret:s3cr3t",
            "couchbase://h:1{}?secret=s3cr3t&x",
            "couchbase://h:1{}?client_string=a,pw=s3cr3t&x",
            "couchbase://h:1{}?network=x&user%3As3cr3t",
        ],
    )
    def test_mistyped(self, text: str, bucket: str) -> None:
        """However a login is mistyped: what is refused shows nothing that may be its secret."""
        with pytest.raises((InvalidConnectionStringError, InvalidOptionError)) as info:
            parse_options(ConnectionString.parse(text.format(bucket)).option_pairs())
        error = info.value
        assert "s3cr3t" not in f"{error} {error!r} {error.args!r} {vars(error)!r}"
        assert "s3cr3t" not in masked(text.format(bucket))

    @pytest.mark.parametrize(
        "text",
        [
            "couchbase://a:11210,[::1]:9000=http,fe80::1%25eth0/b?log_redaction=on&network=external",
            "couchbases://secret.example.org/passwords?certpath=/a:b,c d.pem&client_string=x",
            "couchbase://h/a%3Ab%3Dc?username=u:v",
        ],
    )
    def test_what_is_shown(self, text: str) -> None:
        """What has no secret is shown as it is."""
        assert masked(text) == text

    def test_position_behind_a_mask(self) -> None:
        """Masking moves the position with the text."""
        with pytest.raises(InvalidConnectionStringError) as info:
            ConnectionString.parse("couchbase://h?password=a-very-long-one&a=1&=bad")
        assert info.value.text == "couchbase://h?password=***&a=1&=bad"
        assert info.value.text[info.value.position :] == "=bad"

    def test_repr(self) -> None:
        """repr() and str() mask, encode() does not."""
        parsed = ConnectionString.parse("couchbase://h/b?username=u@x&password=s3cr3t")
        assert repr(parsed) == "<ConnectionString couchbase://h/b?username=u%40x&password=***>"
        assert str(parsed) == "couchbase://h/b?username=u%40x&password=***"
        assert "s3cr3t" in parsed.encode()
