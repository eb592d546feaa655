"""What a person can do about each reason for which a document or a page has no result."""

from __future__ import annotations

from pipeline.errors import Reason

_SAME_RUN = "run the same command again once that is mended"
_ADVICE: dict[Reason, str] = {
    Reason.object_missing: "put the file back, or purge the document",
    Reason.object_changed: "the file was replaced while it was read: try again",
    Reason.access_denied: f"give the user of the job the right to read it; {_SAME_RUN}",
    Reason.bucket_missing: "correct the bucket's name, or make it",
    Reason.wrong_region: "set AWS_REGION to that of the bucket",
    Reason.requester_pays: "readers pay for this bucket: set source.request_payer, or copy the files",
    Reason.object_archived: "restore it from the archive first (S3 Glacier), then try again",
    Reason.customer_key: "it is encrypted with a key of its owner: ask for a copy without",
    Reason.checksum_mismatch: "the file arrived damaged: try again; if it stays so, replace the file",
    Reason.store_unreachable: "look at the network and the server of the files, then try again",
    Reason.manifest_line: "correct that line of the manifest",
    Reason.manifest_form: "correct the manifest: JSONL or CSV with a uri",
    Reason.outside_root: "the manifest or link names files elsewhere: --trust-manifests allows that",
    Reason.archive_member: "take that file out of the archive and read it by itself",
    Reason.archive_damaged: "make the archive anew",
    Reason.too_many_bytes: "split the file, or raise source.max_bytes",
    Reason.unreadable_name: "give the file another name",
    Reason.passed_over: "it is hidden, or is no document",
    Reason.empty_file: "the file is empty: get it again from where it came",
    Reason.unsupported_type: "convert it to PDF, or to a picture such as JPEG or PNG",
    Reason.pdf_encrypted: "save it without its password",
    Reason.pdf_damaged: "print or export it anew: no renderer can open it",
    Reason.pdf_no_pages: "the PDF has no page: get it again from where it came",
    Reason.image_damaged: "scan or export the picture anew",
    Reason.too_many_pixels: "make the picture smaller, or raise render.max_pixels",
    Reason.too_many_pages: "split the file, or raise render.max_pages",
    Reason.xml_damaged: "get the XML again from the portal: it is cut off or was edited",
    Reason.xml_unsafe: "the XML has what no e-invoice has (a DTD, entities): get it again from the portal",
    Reason.xml_too_large: "the XML is larger than any e-invoice: look at what it is",
    Reason.xml_other: "the XML is another kind of document: leave it out with --exclude",
    Reason.schema_without_xml: "this schema reads no XML: leave it out with --exclude '*.xml'",
    Reason.render_timeout: "it takes too long to draw: print it to a simpler PDF, or raise render.seconds",
    Reason.render_memory: "the page takes too much memory to draw: print it to a simpler PDF",
    Reason.render_crashed: "the page ends every renderer: print it to a simpler PDF",
    Reason.prompt_too_long: "the question leaves no room: ask for fewer fields, or take another model",
    Reason.output_truncated: "the answer found no room: raise engine.max_passes, or split the page",
    Reason.generation_loop: "the model repeated itself on this page: read it with another dpi, or by hand",
    Reason.grammar_error: "the schema's grammar cannot be used: simplify its patterns",
    Reason.schema_mismatch: "a rule of the schema made a value of another type: correct it",
    Reason.server_refused: "the server will not read this page: see what it says, or read it by our engine",
    Reason.server_failed: "the server breaks on this page: look at its log, raise server.seconds, try again",
    Reason.worker_lost: "its worker vanished each time: look at memory and logs, then try again",
    Reason.out_of_memory: "give a lane more memory, or make pages smaller (render.dpi), then try again",
    Reason.internal_error: "a fault of Vinbatch: `vinbatch failures --json` has the traceback",
    Reason.ledger_unreachable: "look at the store's server, then try again",
    Reason.ledger_busy: "the store was busy for too long: try again with fewer lanes",
    Reason.disk_full: "make room on the disk, then try again",
    Reason.uri_too_long: "give the file a shorter name or path",
    Reason.rejected: "a person said that it does not belong here, and may take it back (vinbatch review)",
}


def advice(reason: str) -> str:
    """One sentence, without an end, for a reason code as it is stored."""
    try:
        return _ADVICE[Reason(reason)]
    except (ValueError, KeyError):
        return "`vinbatch failures` says more"
