"""Messages as JSON: every section and every value with its AMQP type, read by Proton's own codec.

A value is an object of one entry, {type: value}. Floats and decimals are their bits in hex, so that nothing is
rounded on the way; bytes are hex; a map is a list of pairs, so that order and repeated keys stay visible.
"""

import struct

from proton import Data

HEADER = ["durable", "priority", "ttl", "first_acquirer", "delivery_count"]
PROPERTIES = [
    "message_id", "user_id", "to", "subject", "reply_to", "correlation_id", "content_type", "content_encoding",
    "absolute_expiry_time", "creation_time", "group_id", "group_sequence", "reply_to_group_id",
]
DATA, SEQUENCE, VALUE = 0x75, 0x76, 0x77
MAPS = {0x71: "delivery_annotations", 0x72: "message_annotations", 0x74: "application_properties", 0x78: "footer"}

READERS = {
    Data.BOOL: Data.get_bool,
    Data.UBYTE: Data.get_ubyte, Data.USHORT: Data.get_ushort, Data.UINT: Data.get_uint, Data.ULONG: Data.get_ulong,
    Data.BYTE: Data.get_byte, Data.SHORT: Data.get_short, Data.INT: Data.get_int, Data.LONG: Data.get_long,
    Data.FLOAT: lambda data: struct.pack(">f", data.get_float()).hex(),
    Data.DOUBLE: lambda data: struct.pack(">d", data.get_double()).hex(),
    Data.DECIMAL32: lambda data: f"{data.get_decimal32():08x}",
    Data.DECIMAL64: lambda data: f"{data.get_decimal64():016x}",
    Data.DECIMAL128: lambda data: data.get_decimal128().hex(),
    Data.CHAR: Data.get_char,
    Data.TIMESTAMP: Data.get_timestamp,
    Data.UUID: lambda data: data.get_uuid().hex,
    Data.BINARY: lambda data: data.get_binary().hex(),
    Data.STRING: Data.get_string,
    Data.SYMBOL: Data.get_symbol,
}


def value(data):
    """The node that `data` stands on."""
    kind = data.type()
    name = Data.type_name(kind)
    if kind == Data.NULL:
        return {name: None}
    if kind in READERS:
        return {name: READERS[kind](data)}
    if kind == Data.ARRAY:
        # A described array has its descriptor as first child.
        _, _, element = data.get_array()
        return {name: [Data.type_name(element), children(data)]}
    if kind == Data.MAP:
        return {name: pairs(children(data))}
    return {name: children(data)}


def children(data):
    """What is inside the list, map, array or described value that `data` stands on."""
    found = []
    data.enter()
    while data.next() is not None:
        found.append(value(data))
    data.exit()
    return found


def pairs(flat):
    return [[flat[at], flat[at + 1]] for at in range(0, len(flat), 2)]


def decode(encoded):
    """The first value in `encoded`, and how many bytes it took. One at a time: a `Data` holds 65,535 nodes at most."""
    data = Data()
    taken = data.decode(encoded)
    data.rewind()
    data.next()
    return value(data), taken


def sections(message):
    """Each section as (descriptor, content)."""
    at = 0
    while at < len(message):
        section, taken = decode(message[at:])
        descriptor, content = section["described"]
        at += taken
        yield descriptor["ulong"], content


def fields(names, content):
    """A list section by the names of its fields, nulls left out."""
    return {name: field for name, field in zip(names, content["list"]) if field != {"null": None}}


def message(encoded):
    """The whole message. A section that is not there is null, and so is an empty map."""
    found = dict.fromkeys(["header", "properties", *MAPS.values()])
    found["body"] = []
    for descriptor, content in sections(encoded):
        if descriptor == 0x70:
            found["header"] = fields(HEADER, content)
        elif descriptor == 0x73:
            found["properties"] = fields(PROPERTIES, content)
        elif descriptor in MAPS:
            found[MAPS[descriptor]] = content["map"] or None
        else:
            found["body"].append(body_section(descriptor, content))
    return found


def body_section(descriptor, content):
    if descriptor == DATA:
        return {"data": content["binary"]}
    if descriptor == SEQUENCE:
        return {"sequence": content["list"]}
    if descriptor == VALUE:
        return {"value": content}
    raise ValueError(f"no section has the descriptor {descriptor:#x}")
