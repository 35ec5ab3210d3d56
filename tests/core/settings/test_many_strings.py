"""Many connection strings, as people write them: what each means, or why it means nothing."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from couchloop.exceptions import CouchbaseError
from couchloop.settings.configure import make_settings
from couchloop.settings.connection_string import ConnectionString
from couchloop.settings.values import Settings

# String, data ports, web ports, bucket (percent-encoded), SRV record; -: none.
MEANINGS = """
couchbase://localhost  localhost:11210  -  -  -
couchbase://localhost:11210  localhost:11210  -  -  -
couchbase://localhost:11207  localhost:11207  -  -  -
couchbase://localhost:8091  localhost:11210  -  -  -
couchbases://localhost:8091  localhost:8091  -  -  -
couchbases://localhost:18091  localhost:18091  -  -  -
couchbases://localhost:11210  localhost:11210  -  -  -
couchbase://localhost:18091  localhost:18091  -  -  -
couchbase://10.1.7.1,10.1.7.2  10.1.7.1:11210,10.1.7.2:11210  -  -  -
couchbase://10.1.7.1:8091,10.1.7.2  10.1.7.1:11210,10.1.7.2:11210  -  -  -
couchbase://10.1.7.1;10.1.7.2  10.1.7.1:11210,10.1.7.2:11210  -  -  -
couchbase://h.x,  h.x:11210  -  -  _couchbase._tcp.h.x
couchbase://,h.x  h.x:11210  -  -  _couchbase._tcp.h.x
couchbase://,  localhost:11210  -  -  -
couchbase://;  localhost:11210  -  -  -
couchbase:///  localhost:11210  -  -  -
couchbase:///default  localhost:11210  -  default  -
couchbase://h.x/  h.x:11210  -  -  _couchbase._tcp.h.x
couchbase://h.x/?  h.x:11210  -  -  _couchbase._tcp.h.x
couchbase://h.x?  h.x:11210  -  -  _couchbase._tcp.h.x
couchbase://h.x/default?  h.x:11210  -  default  _couchbase._tcp.h.x
couchbase://h.x/default?&  h.x:11210  -  default  _couchbase._tcp.h.x
couchbase://h.x/default?network=external&  h.x:11210  -  default  _couchbase._tcp.h.x
couchbase://h.x/default?network=a=b  h.x:11210  -  default  _couchbase._tcp.h.x
couchbase://h.x/default?network=external?timeout=5  h.x:11210  -  default  _couchbase._tcp.h.x
couchbase://h.x?network=external/default  h.x:11210  -  -  _couchbase._tcp.h.x
couchbase://h.x/a%2fb  h.x:11210  -  a/b  _couchbase._tcp.h.x
couchbase://h.x/a%20b  h.x:11210  -  a%20b  _couchbase._tcp.h.x
couchbase://h.x/a+b  h.x:11210  -  a+b  _couchbase._tcp.h.x
http://h.x  h.x:11210  -  -  -
http://h.x:8091  h.x:11210  -  -  -
http://h.x:9000  -  h.x:9000  -  -
http://h.x:11210  -  h.x:11210  -  -
http://h.x/pools  h.x:11210  -  pools  -
h.x  h.x:11210  -  -  -
h.x:8091  h.x:11210  -  -  -
h.x:11210  -  h.x:11210  -  -
h.x:9000  -  h.x:9000  -  -
h.x,i.x  h.x:11210,i.x:11210  -  -  -
h.x/default  h.x:11210  -  default  -
h.x?network=external  h.x:11210  -  -  -
10.0.0.1:8091  10.0.0.1:11210  -  -  -
10.0.0.1:8091;10.0.0.2:8091  10.0.0.1:11210,10.0.0.2:11210  -  -  -
[::1]  [::1]:11210  -  -  -
[::1]:8091  [::1]:11210  -  -  -
::1  [::1]:11210  -  -  -
2001:db8::1  [2001:db8::1]:11210  -  -  -
couchbase://[2001:db8:85a3:8d3::7348]  [2001:db8:85a3:8d3::7348]:11210  -  -  -
couchbase://[2001:db8:85a3:8d3::7348]:1234  [2001:db8:85a3:8d3::7348]:1234  -  -  -
couchbase://2001:db8:85a3:8d3::7348  [2001:db8:85a3:8d3::7348]:11210  -  -  -
couchbase://[::ffff:127.0.0.1]  [::ffff:127.0.0.1]:11210  -  -  -
couchbase://[127.0.0.1]  127.0.0.1:11210  -  -  -
couchbase://[fe80::1%25eth0]  [fe80::1%eth0]:11210  -  -  -
couchbase://[fe80::1%25eth0]:11210  [fe80::1%eth0]:11210  -  -  -
couchbase://[::1],[::2]  [::1]:11210,[::2]:11210  -  -  -
couchbase://[::1]:11210,[::2]:11210  [::1]:11210,[::2]:11210  -  -  -
couchbase://1.2.3.4:10000  1.2.3.4:10000  -  -  -
couchbase://1.2.3  1.2.3:11210  -  -  _couchbase._tcp.1.2.3
couchbase://0x7f000001  0x7f000001:11210  -  -  _couchbase._tcp.0x7f000001
couchbase://127.1  127.1:11210  -  -  _couchbase._tcp.127.1
couchbase://foo_bar  foo_bar:11210  -  -  _couchbase._tcp.foo_bar
couchbase://-foo  -foo:11210  -  -  _couchbase._tcp.-foo
couchbase://foo.  foo.:11210  -  -  _couchbase._tcp.foo.
couchbase://FOO.COM  FOO.COM:11210  -  -  _couchbase._tcp.FOO.COM
couchbase://*  *:11210  -  -  _couchbase._tcp.*
couchbase://$HOST  $HOST:11210  -  -  _couchbase._tcp.$HOST
couchbase://foo!bar  foo!bar:11210  -  -  _couchbase._tcp.foo!bar
couchbase://foo(bar)  foo(bar):11210  -  -  _couchbase._tcp.foo(bar)
couchbase://foo~bar  foo~bar:11210  -  -  _couchbase._tcp.foo~bar
couchbase://h.x:1=mcd  h.x:1  -  -  -
couchbase://h.x:1=MCD  h.x:1  -  -  -
couchbase://h.x:1=http  -  h.x:1  -  -
couchbase://h.x:1=cccp  h.x:1  -  -  -
couchbase://h.x:1=gcccp  h.x:1  -  -  -
couchbase://h.x:8091=mcd  h.x:8091  -  -  -
couchbase://h.x:8091=http,h.x:11210=mcd  h.x:11210  h.x:8091  -  -
couchbases://h.x:1=mcd  h.x:1  -  -  -
couchbases://h.x:1=https  -  h.x:1  -  -
couchbase+dnssrv://h.x  h.x:11210  -  -  _couchbase._tcp.h.x
couchbase+dnssrv://h.x/default  h.x:11210  -  default  _couchbase._tcp.h.x
couchbase://  localhost:11210  -  -  -
couchbases://  localhost:11207  localhost:18091  -  -
http://  localhost:11210  -  -  -
/default  localhost:11210  -  default  -
?network=external  localhost:11210  -  -  -
couchbase://?network=external  localhost:11210  -  -  -
couchbase:///default?network=external  localhost:11210  -  default  -
couchbase://h.x?username=u&password=p  h.x:11210  -  -  _couchbase._tcp.h.x
couchbase://h.x/default?ssl=on  h.x:11207  h.x:18091  default  _couchbases._tcp.h.x
couchbase://h.x/?ssl=on  h.x:11207  h.x:18091  -  _couchbases._tcp.h.x
couchbase://h.x/default?ssl=off  h.x:11210  -  default  _couchbase._tcp.h.x
couchbases://h.x/default?certpath=/a  h.x:11207  h.x:18091  default  _couchbases._tcp.h.x
couchbase://h.x/default?timeout=5  h.x:11210  -  default  _couchbase._tcp.h.x
couchbase://h.x/default?timeout=5s  h.x:11210  -  default  _couchbase._tcp.h.x
couchbase://h.x/default?timeout=5&timeout=6  h.x:11210  -  default  _couchbase._tcp.h.x
couchbase://h.x/default?timeout=2.5&network=external  h.x:11210  -  default  _couchbase._tcp.h.x
couchbase://h.x/default?kv_timeout=2500  h.x:11210  -  default  _couchbase._tcp.h.x
couchbase://h.x/default?kv_timeout=2.5s  h.x:11210  -  default  _couchbase._tcp.h.x
couchbase://h.x/default?ipv6=only  h.x:11210  -  default  _couchbase._tcp.h.x
couchbase://h.x/default?compression=on  h.x:11210  -  default  _couchbase._tcp.h.x
couchbase://h.x/default?network=%20  h.x:11210  -  default  _couchbase._tcp.h.x
couchbase://h.x/default?bootstrap_on=http  h.x:11210  h.x:8091  default  _couchbase._tcp.h.x
couchbase://h.x/default?dnssrv=on  h.x:11210  -  default  _couchbase._tcp.h.x
couchbase://h.x:11210/default?dnssrv=on  h.x:11210  -  default  _couchbase._tcp.h.x
couchbase://h.x,i.x/default?dnssrv=on  h.x:11210,i.x:11210  -  default  _couchbase._tcp.h.x
couchbase://h.x/default?dnssrv=off  h.x:11210  -  default  -
couchbase://h.x/default?enable_dns_srv=true&dnssrv=false  h.x:11210  -  default  -
couchbase://h.x,,i.x  h.x:11210,i.x:11210  -  -  -
couchbase://h.x;;i.x  h.x:11210,i.x:11210  -  -  -
couchbase://h.x%2Ci.x  h.x:11210,i.x:11210  -  -  -
couchbase://h.x%3A11210  h.x:11210  -  -  -
couchbase://%68.x  h.x:11210  -  -  _couchbase._tcp.h.x
couchbase://%5B::1%5D  [::1]:11210  -  -  -
couchbase://h.x:11210%3Dmcd  h.x:11210  -  -  -
couchbase://a,a,a  a:11210  -  -  -
couchbases://[::1],[0:0::1]  [::1]:11207  [::1]:18091  -  -
couchbase://b%C3%BCcher.example:9000=http  -  xn--bcher-kva.example:9000  -  -
couchbase://a:12000,b:9000=manager,c:12001=kv  a:12000,c:12001  b:9000  -  -
"""

REFUSED = [
    (
        "InvalidConnectionStringError",
        "A port is a number from 1 to 65535, or number=type",
        [
            "couchbase://h.x:xyz",
            "couchbase://h.x:",
            "couchbase://h.x:0",
            "couchbase://h.x:-1",
            "couchbase://h.x:+5",
            "couchbase://h.x:000011210",
            "couchbase://[::1]:",
            "couchbase://[::1]:x",
            "couchbase://h.x:=mcd",
            "couchbase://h.x:1=",
            "couchbase://h.x:1=mcd=http",
            "couchbase:/h.x",
            "couchbase:h.x",
        ],
    ),
    (
        "InvalidConnectionStringError",
        "There is a blank; hosts are parted by a comma alone",
        [
            "couchbase://h.x: 5",
            "couchbase://h.x ",
            "couchbase:// h.x",
            "couchbase://h.x ,i.x",
        ],
    ),
    (
        "InvalidConnectionStringError",
        "An address with several colons must be an IPv6 address",
        ["couchbase://h.x:11210:11211", "couchbase://::1]"],
    ),
    (
        "InvalidConnectionStringError",
        "An option is written name=value",
        [
            "couchbase://h.x/default?a",
            "couchbase://h.x/default?a=",
            "couchbase://h.x/default?=a",
            "couchbase://h.x/default?network=",
        ],
    ),
    (
        "InvalidConnectionStringError",
        "A bucket's name has no /",
        ["couchbase://h.x/default/", "couchbase://h.x/a/b"],
    ),
    (
        "InvalidConnectionStringError",
        "A bucket's name has no /; after a scheme comes ://",
        ["couchbase://h.x//default", "couchbase//h.x", "//h.x"],
    ),
    (
        "InvalidConnectionStringError",
        "A % must begin the code of a UTF-8 byte; itself it is %25",
        [
            "couchbase://h.x/%",
            "couchbase://h.x/%zz",
            "couchbase://h.x/%ff",
            "couchbase://[fe80::1%eth0]",
        ],
    ),
    (
        "InvalidConnectionStringError",
        "This is no host name",
        [
            "couchbase://h.x=http",
            "couchbase://h.x=mcd",
            "couchbase://h.x%2Fdefault",
            "couchbase://foo\\bar",
            'couchbase://foo"bar',
            "couchbase://foo'bar",
            "couchbase://foo<bar>",
        ],
    ),
    (
        "InvalidConnectionStringError",
        "A host holds no credentials; use an authenticator, or",
        ["http://user:password@h.x", "couchbase://user@h.x", "couchbase://user:pw@h.x"],
    ),
    (
        "InvalidConnectionStringError",
        "There is no scheme https://; for TLS use couchbases://",
        ["https://h.x", "https://h.x:18091"],
    ),
    (
        "InvalidConnectionStringError",
        "An IPv6 address is written [address] or [address]:port",
        ["couchbase://[::1", "couchbase://[::1]11210"],
    ),
    (
        "InvalidConnectionStringError",
        "The type of a port is one of cccp, gcccp, http, https, kv,",
        ["couchbase://h.x:1=x"],
    ),
    (
        "InvalidConnectionStringError",
        "h.x:1=mcds is a port for TLS: use couchbases://",
        ["couchbase://h.x:1=mcds"],
    ),
    (
        "InvalidConnectionStringError",
        "couchbases+dnssrv:// takes exactly one host, without a port",
        ["couchbases+dnssrv://h.x:11207"],
    ),
    (
        "InvalidConnectionStringError",
        "couchbase+dnssrv:// takes a name that can have DNS SRV",
        ["couchbase+dnssrv://10.0.0.1"],
    ),
    (
        "InvalidConnectionStringError",
        "Unknown scheme; use couchbase:// or couchbases://",
        ["couchbase2://h.x", "protostellar://h.x", "://foo", " couchbase://h.x"],
    ),
    (
        "InvalidConnectionStringError",
        "Unknown scheme; use couchbase:// or couchbases://; did you",
        ["COUCHBASE://h.x"],
    ),
    (
        "InvalidOptionError",
        "ssl=off contradicts couchbases://: use couchbase://",
        ["couchbases://h.x/default?ssl=off"],
    ),
    (
        "ArgumentError",
        "certificates and tls_verify are for TLS: use couchbases://",
        ["couchbase://h.x/default?certpath=/a"],
    ),
    (
        "InvalidOptionError",
        "Option timeout must be a time in seconds, or with a unit",
        ["couchbase://h.x/default?timeout=-5"],
    ),
    (
        "InvalidOptionError",
        "There is no option 'KV_TIMEOUT'; did you mean kv_timeout?",
        ["couchbase://h.x/default?KV_TIMEOUT=2500"],
    ),
    (
        "InvalidOptionError",
        "Option compression must be one of on, off, inflate_only,",
        ["couchbase://h.x/default?compression=maybe"],
    ),
    (
        "InvalidOptionError",
        "Option bootstrap_on must be one of all, cccp, http,",
        ["couchbase://h.x/default?bootstrap_on=nothing"],
    ),
    (
        "InvalidConnectionStringError",
        "There is a control character",
        ["couchbase://h.x/default?client_string=a%0Ab", "couchbase://h.x%00"],
    ),
]
"""Class, beginning of the reason, strings."""


def settings_of(parsed: ConnectionString) -> Settings:
    """Return the settings of a Bucket; those that name none are of bucket b."""
    parsed.bucket = parsed.bucket or "b"
    if parsed.options.keys() & {"username", "keypath"}:
        return make_settings(parsed)
    return make_settings(parsed, username="user", password="password")


@pytest.mark.parametrize("line", MEANINGS.strip().splitlines())
def test_meaning(line: str) -> None:
    """Data ports, web ports, bucket and SRV record are as libcouchbase and RFC 0011 have them."""
    text, *expected = line.split()
    parsed = ConnectionString.parse(text)
    assert ConnectionString.parse(parsed.encode()) == parsed
    bucket = quote(parsed.bucket or "-", safe="+/")
    settings = settings_of(parsed)
    data, web = (",".join(map(str, seeds)) for seeds in (settings.seeds, settings.web_seeds))
    assert [data or "-", web or "-", bucket, settings.srv or "-"] == expected


@pytest.mark.parametrize(
    ("text", "kind", "reason"),
    [(text, kind, reason) for kind, reason, texts in REFUSED for text in texts],
)
def test_refused(text: str, kind: str, reason: str) -> None:
    """What means nothing is refused before anything is opened, for a reason in words."""
    with pytest.raises(CouchbaseError) as raised:
        settings_of(ConnectionString.parse(text))
    assert type(raised.value).__name__ == kind
    assert raised.value.message.startswith(reason)
