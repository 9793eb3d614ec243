"""Does the certificate of a node open links, and for how long.  Pure."""

from config.units import human_count
from ramsterd.doctor import fixes
from ramsterd.doctor.facts import Facts
from ramsterd.doctor.findings import Finding, State, ok
from ramsterd.doctor.surroundings import Certificate
from ramsterd.health.wording import ask_doctor, check_config
from ramsterd.host.validity import DAY_SECONDS, WARN_SECONDS

_RENEW = "where the CA is: ramsterctl cluster renew --from DIR --out renewed"


def check_certificate(facts: Facts, certificate: Certificate) -> Finding:
    """Judge the files of [tls], which belong together, and the key of heartbeats."""
    problem = certificate.problem
    if problem is not None and certificate.is_unreadable:
        return Finding(
            check="certificate",
            state=State.WARNING,
            risk="nobody has checked the certificate and the keys of this node",
            found=f"{problem.key}: {problem.found}",
            expected="files that the user of this command may read",
            fix=f"{ask_doctor(facts.file)}, as root",
        )
    if problem is not None:
        return Finding(
            check="certificate",
            state=State.ERROR,
            risk="ramsterd does not start, or gets no links once it starts again",
            found=f"{problem.key}: {problem.found}",
            expected=problem.expected,
            fix=f"correct it, then: {check_config(facts.file)}",
        )
    if certificate.seconds_left is None:
        return ok("certificate", "there is no [tls]: no certificate can end")
    days = human_count(int(certificate.seconds_left // DAY_SECONDS), "day")
    if certificate.seconds_left >= WARN_SECONDS:
        return ok("certificate", f"key, certificate and CA belong together; {days} left")
    return Finding(
        check="certificate",
        state=State.WARNING,
        risk="this node gets no new links once its certificate has ended",
        found=f"{days} left",
        expected=f"more than {human_count(int(WARN_SECONDS // DAY_SECONDS), 'day')}",
        fix=f"{_RENEW}; copy the files, then: {fixes.reload(facts)}",
    )
