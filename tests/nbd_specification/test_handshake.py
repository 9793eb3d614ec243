"""A server's duties by NBD's specification (NetworkBlockDevice/nbd, doc/proto.md), one a test: the handshake.

Each docstring names the section.
"""

import struct

from config.limits import PAGE_BYTES
from ramsterd.frontends.nbd.protocol import (
    OPTION_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    Command,
    Errno,
    Info,
    Option,
    OptionReply,
    TransmissionFlag,
)
from tests.fakes.nbd_client import DISK, GREETING, PAGE, contexts, export_of, named, served
from tests.fakes.nbd_words import write


async def test_the_server_speaks_first_and_offers_fixed_newstyle() -> None:
    """Handshake phase, Flag fields, Handshake flags: bit 0 MUST be set; no others than 0 and 1."""
    async with served() as client:
        assert await client.receive(len(GREETING)) == GREETING


async def test_unknown_client_flags_drop_the_connection() -> None:
    """Client flags: the server MUST drop the connection if the client sets an unknown flag."""
    async with served() as client:
        await client.greet(flags=3 | 1 << 7)
        assert await client.receive_rest() == b""


async def test_zeroes_follow_export_name_unless_both_sides_said_no() -> None:
    """Newstyle negotiation: 124 bytes of zeroes, unless NBD_FLAG_C_NO_ZEROES was negotiated."""
    for flags, padding in ((3, 0), (1, 124)):
        async with served() as client:
            await client.greet(flags)
            await client.say_option(Option.EXPORT_NAME, b"disk")
            assert struct.unpack(">Q", (await client.receive(10))[:8]) == (DISK.size,)
            assert await client.receive(padding) == bytes(padding)
            await client.stream.send_all(write(1, 0, PAGE))
            assert await client.answer(1) is Errno.NONE


async def test_an_export_that_cannot_be_had_ends_the_session() -> None:
    """NBD_OPT_EXPORT_NAME: if the export does not exist, the server MUST terminate the session."""
    async with served() as client:
        await client.greet()
        await client.say_option(Option.EXPORT_NAME, b"other")
        assert await client.receive_rest() == b""


async def test_the_empty_name_is_the_default_export() -> None:
    """NBD_OPT_EXPORT_NAME: the empty name is reserved for a default export."""
    async with served() as client:
        await client.greet()
        assert export_of(await client.option(Option.GO, named("")))[0] == DISK.size


async def test_an_unknown_option_is_unsupported_and_the_next_is_understood() -> None:
    """Baseline: MUST reply NBD_REP_ERR_UNSUP, and MUST NOT fail to parse the next message."""
    async with served() as client:
        await client.greet()
        for number in (4, 11, 4711):
            assert (await client.option(number, b"any data"))[0][0] is OptionReply.ERR_UNSUP
        assert (await client.option(Option.LIST))[-1][0] is OptionReply.ACK


async def test_an_option_too_long_is_told_so_and_the_next_is_understood() -> None:
    """Option reply types: NBD_REP_ERR_TOO_BIG, the request is too large to process."""
    async with served() as client:
        await client.greet()
        ((kind, _),) = await client.option(4711, bytes(OPTION_BYTES_MAX + 1))
        assert kind is OptionReply.ERR_TOO_BIG
        assert (await client.option(Option.LIST))[-1][0] is OptionReply.ACK


async def test_abort_is_acknowledged_and_ends_the_session() -> None:
    """NBD_OPT_ABORT: the server MUST reply with NBD_REP_ACK."""
    async with served() as client:
        await client.greet()
        assert await client.option(Option.ABORT) == [(OptionReply.ACK, b"")]
        assert await client.receive_rest() == b""


async def test_list_names_every_export_and_ends_with_an_ack() -> None:
    """NBD_OPT_LIST: zero or more NBD_REP_SERVER, one for each export, followed by NBD_REP_ACK."""
    async with served() as client:
        await client.greet()
        assert await client.option(Option.LIST) == [
            (OptionReply.SERVER, b"\0\0\0\x04diska disk"),
            (OptionReply.SERVER, b"\0\0\0\x04safe"),
            (OptionReply.SERVER, b"\0\0\0\x03rom"),
            (OptionReply.ACK, b""),
        ]


async def test_list_with_data_is_invalid() -> None:
    """NBD_REP_ERR_INVALID: for instance an NBD_OPT_LIST with nonzero data length."""
    async with served() as client:
        await client.greet()
        assert (await client.option(Option.LIST, b"x"))[0][0] is OptionReply.ERR_INVALID


async def test_starttls_is_refused_without_asking_for_tls() -> None:
    """NOTLS mode: MUST respond with POLICY or UNSUP, and MUST NOT say TLS_REQD to anything."""
    async with served() as client:
        await client.greet()
        assert (await client.option(Option.STARTTLS))[0][0] is OptionReply.ERR_UNSUP


async def test_an_unknown_export_is_told_and_gives_no_information() -> None:
    """NBD_OPT_INFO: NBD_REP_ERR_UNKNOWN, and SHOULD NOT send NBD_REP_INFO."""
    async with served() as client:
        await client.greet()
        for number in (Option.INFO, Option.GO):
            ((kind, _),) = await client.option(number, named("other"))
            assert kind is OptionReply.ERR_UNKNOWN


async def test_go_after_info_says_the_same() -> None:
    """NBD_OPT_INFO: GO with the same parameters MUST reply with the same set of information."""
    async with served() as client:
        await client.greet()
        asked = named("disk", *Info)
        assert await client.option(Option.INFO, asked) == await client.option(Option.GO, asked)


async def test_info_tells_the_block_sizes() -> None:
    """NBD_INFO_BLOCK_SIZE and Block size constraints: powers of two, the maximum at least 1 MiB."""
    async with served() as client:
        await client.greet()
        replies = await client.option(Option.INFO, named("disk", Info.BLOCK_SIZE))
        bodies = [body for _, body in replies if body[:2] == struct.pack(">H", Info.BLOCK_SIZE)]
        assert bodies == [struct.pack(">HIII", Info.BLOCK_SIZE, 1, PAGE_BYTES, PAYLOAD_BYTES_MAX)]


async def test_info_tells_name_and_description_when_asked() -> None:
    """NBD_INFO_NAME, NBD_INFO_DESCRIPTION: the same as in NBD_OPT_LIST."""
    async with served() as client:
        await client.greet()
        asked = named("", Info.NAME, Info.DESCRIPTION)
        bodies = [body for _, body in await client.option(Option.INFO, asked)]
        assert b"\0\x01disk" in bodies
        assert b"\0\x02a disk" in bodies


async def test_an_export_without_a_description_tells_none() -> None:
    """NBD_INFO_DESCRIPTION: the server SHOULD omit it when it has none to tell."""
    async with served() as client:
        await client.greet()
        bodies = [body for _, body in await client.option(Option.INFO, named("safe", *Info))]
        assert b"\0\x01safe" in bodies
        assert not any(body.startswith(b"\0\x02") for body in bodies)


async def test_kinds_of_information_that_nobody_knows_are_ignored() -> None:
    """NBD_OPT_INFO: the server MUST NOT fail the request for a kind that it does not know."""
    async with served() as client:
        await client.greet()
        known = await client.option(Option.INFO, named("disk"))
        assert await client.option(Option.INFO, named("disk", 4, 4711, 0xFFFF)) == known


async def test_a_name_over_the_limit_of_strings_is_invalid() -> None:
    """Conventions: a string MUST be no longer than 4096 bytes."""
    async with served() as client:
        await client.greet()
        for number in (Option.INFO, Option.GO):
            ((kind, _),) = await client.option(number, named("x" * 4097))
            assert kind is OptionReply.ERR_INVALID
            ((kind, _),) = await client.option(number, named("x" * 4096))
            assert kind is OptionReply.ERR_UNKNOWN


async def test_a_read_only_export_offers_no_change_and_all_else() -> None:
    """Transmission flags: a server MUST NOT set the flag for a feature that it does not support."""
    changing = (
        TransmissionFlag.SEND_TRIM
        | TransmissionFlag.SEND_WRITE_ZEROES
        | TransmissionFlag.SEND_FAST_ZERO
    )
    async with served() as client:
        await client.greet()
        disk = export_of(await client.option(Option.INFO, named("disk")))[1]
        rom = export_of(await client.option(Option.INFO, named("rom")))[1]
        assert disk & changing == changing
        assert rom ^ disk == changing | TransmissionFlag.READ_ONLY


async def test_malformed_info_is_invalid_and_leaves_the_session_usable() -> None:
    """NBD_REP_ERR_INVALID: the option was determined to be syntactically invalid."""
    async with served() as client:
        await client.greet()
        ((kind, _),) = await client.option(Option.GO, b"\0\0\1\0disk\0\0")
        assert kind is OptionReply.ERR_INVALID
        assert (await client.option(Option.GO, named("disk")))[-1][0] is OptionReply.ACK


async def test_df_is_offered_with_structured_replies_only() -> None:
    """NBD_FLAG_SEND_DF: MUST be clear if structured replies have not been negotiated."""
    async with served() as client:
        await client.greet()
        df = TransmissionFlag.SEND_DF
        assert not export_of(await client.option(Option.INFO, named("disk")))[1] & df
        await client.option(Option.STRUCTURED_REPLY)
        assert export_of(await client.option(Option.INFO, named("disk")))[1] & df


async def test_structured_reply_with_data_is_invalid() -> None:
    """NBD_OPT_STRUCTURED_REPLY: SHOULD reject a request that includes data with INVALID."""
    async with served() as client:
        await client.greet()
        ((kind, _),) = await client.option(Option.STRUCTURED_REPLY, b"x")
        assert kind is OptionReply.ERR_INVALID


async def test_contexts_need_structured_replies() -> None:
    """NBD_OPT_SET_META_CONTEXT: without structured replies SHOULD send NBD_REP_ERR_INVALID."""
    async with served() as client:
        await client.greet()
        ((kind, _),) = await client.option(Option.SET_META_CONTEXT, contexts("disk", "base:x"))
        assert kind is OptionReply.ERR_INVALID


async def test_all_contexts_are_listed_without_a_query_and_by_wildcard() -> None:
    """NBD_OPT_LIST_META_CONTEXT: zero queries MUST return all; `base:` is a wildcard."""
    async with served() as client:
        await client.greet()
        await client.option(Option.STRUCTURED_REPLY)
        for queries in ((), ("base:",)):
            replies = await client.option(Option.LIST_META_CONTEXT, contexts("disk", *queries))
            assert replies == [
                (OptionReply.META_CONTEXT, b"\0\0\0\0base:allocation"),
                (OptionReply.ACK, b""),
            ]


async def test_queries_of_other_namespaces_are_ignored() -> None:
    """NBD_OPT_LIST_META_CONTEXT: MUST ignore unknown namespaces; nothing found is a single ACK."""
    async with served() as client:
        await client.greet()
        await client.option(Option.STRUCTURED_REPLY)
        for number in (Option.LIST_META_CONTEXT, Option.SET_META_CONTEXT):
            replies = await client.option(number, contexts("disk", "qemu:x", "base:unheard-of"))
            assert replies == [(OptionReply.ACK, b"")]


async def test_a_selection_ignores_the_wildcard() -> None:
    """The base: namespace: the server MUST ignore `base:` during NBD_OPT_SET_META_CONTEXT."""
    async with served() as client:
        await client.greet()
        await client.option(Option.STRUCTURED_REPLY)
        replies = await client.option(Option.SET_META_CONTEXT, contexts("disk", "base:"))
        assert replies == [(OptionReply.ACK, b"")]


async def test_a_malformed_query_is_invalid() -> None:
    """NBD_OPT_LIST_META_CONTEXT: a query length beyond the option's MUST fail with INVALID."""
    async with served() as client:
        await client.greet()
        await client.option(Option.STRUCTURED_REPLY)
        cut = contexts("disk", "base:allocation")[:-3]
        for number in (Option.LIST_META_CONTEXT, Option.SET_META_CONTEXT):
            assert (await client.option(number, cut))[0][0] is OptionReply.ERR_INVALID


async def test_a_selection_is_for_one_export() -> None:
    """NBD_OPT_SET_META_CONTEXT: it names the export whose contexts are meant; another's do not count."""
    async with served() as client:
        await client.greet()
        await client.option(Option.STRUCTURED_REPLY)
        await client.option(Option.SET_META_CONTEXT, contexts("safe", "base:allocation"))
        await client.option(Option.GO, named("disk"))
        assert await client.errno(Command.BLOCK_STATUS, 0, 4096) is Errno.EINVAL


async def test_a_failed_selection_clears_the_one_before() -> None:
    """NBD_OPT_SET_META_CONTEXT: replaces all previously-set contexts, including when it fails."""
    async with served() as client:
        await client.greet()
        await client.option(Option.STRUCTURED_REPLY)
        await client.option(Option.SET_META_CONTEXT, contexts("disk", "base:allocation"))
        await client.option(Option.SET_META_CONTEXT, b"malformed")
        await client.option(Option.GO, named("disk"))
        assert await client.errno(Command.BLOCK_STATUS, 0, 4096) is Errno.EINVAL
