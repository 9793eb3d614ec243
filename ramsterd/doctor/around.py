"""Look at everything around a daemon: cluster, certificate, units.  A shell."""

from pathlib import Path

from ramsterd.doctor.certificates import read_certificate
from ramsterd.doctor.facts import Facts
from ramsterd.doctor.peers import look_at_cluster
from ramsterd.doctor.surroundings import Surroundings
from ramsterd.doctor.unit_files import read_units


def look_around(facts: Facts, *, control: Path | None) -> Surroundings:
    """Return what is around the daemon that the facts are of."""
    return Surroundings(
        cluster=look_at_cluster(
            facts.daemon,
            facts.cluster,
            control=control,
            is_running=facts.running is not None,
            may_have_ports=bool(facts.no_answer),
        ),
        certificate=read_certificate(facts.daemon, Path(facts.file)),
        units=read_units(),
    )
