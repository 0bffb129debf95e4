"""Who comes in: refusals, the issuer, the door's certificate."""

from __future__ import annotations

from tests.monitoring.cases.case import Case

REFUSED = 'millrace_access_refused_total{job="millrace-web",instance="%s",reason="%s"}'
ISSUER = 'millrace_connection_up{job="millrace-web",instance="%s",peer="issuer"}'
ENDS = 'millrace_certificate_expires_timestamp_seconds{instance="%s",of="%s"}'

CASES = (
    *(
        Case(
            "MillraceRefusalsSpike",
            {REFUSED % ("w", reason): "0x20 60+60x60", REFUSED % ("w", "not_permitted"): "0+900x80"},
            "18m",
            "30m",
            {"reason": reason},
            says=f"2 per second: {reason}.",
        )
        for reason in ("bad_credential", "too_many_failures")
    ),
    # One producer with yesterday's key, and who was not signed in yet.
    Case(
        "MillraceRefusalsSpike",
        {REFUSED % ("w", "bad_credential"): "0+15x80", REFUSED % ("w", "not_signed_in"): "0+900x80"},
        "30m",
    ),
    Case(
        "MillraceIssuerAway",
        {ISSUER % "w": "1x10 0x40", ISSUER % "v": "NaN+0x50"},
        "10m",
        "12m",
        {},
        says="Keys that are known are good for a day; company sign-in does not work.",
    ),
    Case("MillraceIssuerAway", {ISSUER % "w": "0x40", ISSUER % "v": "1x40"}, "20m"),
    # Access is off, or nobody has come with a token yet.
    Case("MillraceIssuerAway", {ISSUER % "w": "NaN+0x40"}, "20m"),
    *(
        Case(
            "MillraceCertificateExpires",
            {ENDS % ("c", of): f"{16 * 86_400}x6000", ENDS % ("d", of): "NaN+0x6000"},
            "49h",
            "49h30m",
            {"of": of},
            says=f"That of the {of} ends in 13d 22h 30m 0s.",
        )
        for of in ("broker", "ledger", "door")
    ),
)
