"""Hosts whose URLs Spamhaus HBL normalises in a way of their own: data of the operator.

From the urihash_acl lines of github.com/spamhaus/spamassassin-dqs 4.0.0+/sh_hbl.cf (version 20231011), read
2026-11-27: link shorteners and file stores, where each path is somebody else's.
"""

from __future__ import annotations

from typing import Final

OWN_CASE_HOSTS: Final = frozenset(
    """
    1drv.ms 2ww.me 4.fo abre.ai arweave.net bit.do bit.ly bitly.ws bom.so buff.ly c4rex.co
    cdn.discordapp.com cf-ipfs.com clck.ru clcr.me cleanuri.com clicktracker.net cloudflare-ipfs.com
    crustwebsites.net cutt.ly d8hxy.app.goo.gl did.li dik.si dweb.link fleek.cool fleek.ipfs.io
    gateway.ipfs.io gg.gg ggle.io goo.su han.gl ht.ly htl.li httpslink.com ipfs.fleek.co ipfs.io iqy.im
    itsssl.com ja.cat ja2r7.app.goo.gl kortlink.dk kutt.it kuza.me l8.nu lihi2.cc lil.ge lin.ee
    link-shortener.net link.nn.ru linkmn.gr ln.run lnkd.in lnkiy.in m1s.it me-qr.com mpago.la mq4.ru
    mub.me my.forms.app objects-us-east-1.dream.io ow.ly p.st pastebin.com peg3z.app.goo.gl peyg.ir
    piplynow.com ppt.cc ptpn4.id pxlme.me qrco.de rb.gy rebrand.ly reurl.cc rotf.lol rplg.co s.free.fr
    s.id s.lu s3.amazonaws.com s3.us-west-1.amazonaws.com sfo3.digitaloceanspaces.com
    sgp1.digitaloceanspaces.com sha.lk shln.me short-me.me shorturl.ac shorturl.asia shorturl.at
    shrinke.me shrtco.de siasky.net sites.google.com ssur.cc storage.cloud.google.com
    storageapi.fleek.co substack.com surl.li syd1.digitaloceanspaces.com t.co t.ly telegra.ph tiny.one
    tinylink.in tinyurl.com tny.im to.sv tyl.ke u.to uclck.ru url-s.xyz url.com url.zip urlis.net
    urly.it urlz.fr urlzs.com usc1.contabostorage.com vk.cc vk.sv vo.la wa.me www.bit.do www.clck.ru
    www.goo.su www.hbltest.com zpr.io
    """.split()  # noqa: SIM905
)
"""The path keeps its case."""

NO_SLASH_HOSTS: Final = frozenset(
    ["is.gd", "storage.googleapis.com", "commondatastorage.googleapis.com", "cld.pt", "short.hbltest.com"]
)
"""Only the path's first part counts."""

QUESTION_HOSTS: Final = frozenset(["api.whatsapp.com", "eblink4.com", "eblink5.com", "withqm.hbltest.com"])
"""The query counts too."""
