"""The style of the status page: the colours of the system, and rows as blocks on a phone."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from typing import Final

STYLE: Final = """
:root{color-scheme:light dark;--line:color-mix(in srgb,CanvasText 16%,Canvas);
--soft:color-mix(in srgb,CanvasText 5%,Canvas);--dim:color-mix(in srgb,CanvasText 65%,Canvas);
--pass:light-dark(#1a7f37,#4ac26b);--warn:light-dark(#9a6700,#e3b341);
--fail:light-dark(#cf222e,#ff7b72)}
*{box-sizing:border-box}
body{margin:0;background:Canvas;color:CanvasText;font:1rem/1.5 system-ui,sans-serif}
main{max-width:76rem;margin:0 auto;padding:1rem}
h1{font-size:1.25rem;margin:0 0 .75rem}
h2{font-size:1.1rem;margin:2rem 0 .5rem;overflow-wrap:anywhere}
h3,caption{font-size:.95rem;font-weight:600;margin:1.25rem 0 .4rem;text-align:left}
p{margin:.4rem 0}
code{font-family:ui-monospace,monospace;font-size:.92em;overflow-wrap:anywhere}
.banner{border:1px solid var(--line);border-left:.4rem solid var(--line);border-radius:.5rem;
padding:.6rem .9rem;background:var(--soft);font-size:1.1rem;font-weight:600}
.banner.pass{border-left-color:var(--pass)}
.banner.warn{border-left-color:var(--warn)}
.banner.fail{border-left-color:var(--fail)}
.sign{display:inline-block;min-width:1em;font-weight:700}
.pass>.sign{color:var(--pass)}
.warn>.sign{color:var(--warn)}
.fail>.sign{color:var(--fail)}
.dim{color:var(--dim);font-size:.875rem;overflow-wrap:anywhere}
dl.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(6.6rem,1fr));gap:.5rem;
margin:.75rem 0}
dl.tiles>div{border:1px solid var(--line);border-radius:.5rem;padding:.4rem .6rem}
dt{color:var(--dim);font-size:.8rem}
dd{margin:0;font-size:1.2rem;font-weight:600;font-variant-numeric:tabular-nums;
overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%;margin:.5rem 0 1rem}
th,td{text-align:left;vertical-align:top;padding:.35rem .6rem .35rem 0;
border-bottom:1px solid var(--line);overflow-wrap:anywhere}
thead th{color:var(--dim);font-size:.8rem;font-weight:500;white-space:nowrap}
th[scope=row]{font-weight:600}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.number:last-child{padding-right:0}
@media(min-width:44.01rem){.state{white-space:nowrap}.wide th[scope=row]{width:22%}}
footer{margin-top:2rem;border-top:1px solid var(--line);padding-top:.6rem}
@media(max-width:44rem){
.wide,.wide :is(caption,tbody,tr,th,td){display:block}
.wide thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.wide tr{border:1px solid var(--line);border-radius:.5rem;padding:.5rem .7rem;margin-bottom:.6rem}
.wide :is(th,td){border:0;padding:.1rem 0}
.wide td{display:flex;justify-content:space-between;gap:1rem;text-align:right}
.wide td::before{content:attr(data-label);color:var(--dim);text-align:left;flex:none}
.wide td.whole{display:block;text-align:left}
.wide td.whole::before{content:none}
.wide td.none{display:none}
}
"""
"""What stands between `<style>` and `</style>`."""

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        f"style-src 'sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""The Content-Security-Policy: this style, and nothing else."""
