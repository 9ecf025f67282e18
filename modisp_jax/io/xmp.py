"""XMP in a JPEG's APP1: simple properties in a namespace of our own, written and read back.

Source: ISO 16684-1 (XMP), XMP specification part 3, section 1.1.3 (JPEG). Written as attributes of one description;
read as attributes or as elements, since other software may write the one for the other.
"""

from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

SIGNATURE = b"http://ns.adobe.com/xap/1.0/\0"
NAMESPACE = "urn:modisp_jax:raw-in-jpeg/1/"
PREFIX = "modisp"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_PACKET_ID = "W5M0MpCehiHzreSzNTczkc9d"  # the same in every XMP packet


def make_xmp(properties):
    """Content of the APP1 segment for a dict of names and texts."""
    for name, value in properties.items():
        if not all(ord(c) >= 32 or c in "\t\n\r" for c in value):
            raise ValueError(f"{name}: expected text without control characters for XMP, got {value!r}")
    attributes = "".join(f"\n   {PREFIX}:{name}={quoteattr(value)}" for name, value in properties.items())
    packet = (
        f'<?xpacket begin="\ufeff" id="{_PACKET_ID}"?>\n'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="modisp_jax">\n'
        f' <rdf:RDF xmlns:rdf="{_RDF}">\n'
        f'  <rdf:Description rdf:about="" xmlns:{PREFIX}="{NAMESPACE}"{attributes}/>\n'
        f" </rdf:RDF>\n"
        f"</x:xmpmeta>\n"
        f'<?xpacket end="w"?>'
    )
    return SIGNATURE + packet.encode("utf-8")


def read_xmp(content):
    """Our properties of an APP1 segment's content, a dict of texts; {} where it has none or cannot be read.

    A document type is refused: no packet needs one, and its entities could grow without bound.
    """
    packet = content.removeprefix(SIGNATURE)
    if not content.startswith(SIGNATURE) or b"<!DOCTYPE" in packet or b"<!ENTITY" in packet:
        return {}
    try:
        tree = ElementTree.fromstring(packet.decode("utf-8").strip("\ufeff\0 \r\n\t"))
    except (ElementTree.ParseError, UnicodeDecodeError, ValueError):
        return {}
    marker = f"{{{NAMESPACE}}}"
    found = {}
    for element in tree.iter():
        if element.tag.startswith(marker) and len(element) == 0:
            found[element.tag.removeprefix(marker)] = element.text or ""
        found |= {k.removeprefix(marker): v for k, v in element.attrib.items() if k.startswith(marker)}
    return found
