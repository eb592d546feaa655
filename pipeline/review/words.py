"""What codes and states are called, in Vietnamese and in English."""

from __future__ import annotations

from typing import NamedTuple


class Words(NamedTuple):
    vi: str
    en: str


STATES = {
    "done": Words("đạt", "done"),
    "review": Words("cần xem", "to review"),
    "partial": Words("thiếu trang", "partial"),
    "quarantined": Words("không có kết quả", "quarantined"),
}
RULINGS = {
    "accept": Words("đã xác nhận", "accepted"),
    "correct": Words("đã sửa", "corrected"),
    "not_on_page": Words("không có trên giấy", "not on the page"),
    "illegible": Words("không đọc được", "illegible"),
    "reject": Words("đã loại", "rejected"),
}
ABSENCES = {
    "not_on_page": Words("không có trên giấy", "not on the page"),
    "illegible": Words("không đọc được", "illegible"),
    "not_read": Words("chưa đọc được", "not read"),
}
SOURCES = {
    "read": Words("mô hình đọc", "read by the model"),
    "xml": Words("XML", "XML"),
    "text": Words("lớp chữ PDF", "the PDF's text"),
    "qr": Words("mã QR", "QR code"),
    "mrz": Words("dòng MRZ", "MRZ"),
    "reader": Words("máy đọc thứ hai", "second reader"),
    "again": Words("lần đọc thứ hai", "a second look"),
    "review": Words("người duyệt", "a person"),
}
# Where a value was taken from that was not read from the picture.
ORIGINS = {name: Words(f"lấy từ {said.vi}", f"taken from {said.en}") for name, said in SOURCES.items()}
VERDICTS = {
    "agrees": Words("cũng ghi", "agrees"),
    "differs": Words("ghi khác", "differs"),
    "silent": Words("không dùng được", "cannot be used"),
    "offers": Words("có giá trị", "has one"),
}
TIERS = {
    "clean": Words("bản gốc", "clean"),
    "scan": Words("bản quét", "scan"),
    "noisy": Words("bản quét xấu", "noisy scan"),
    "photo": Words("ảnh chụp", "photo"),
}
KINDS = {
    "doubtful": Words("Cần xem", "To review"),
    "sample": Words("Mẫu kiểm tra", "Sample"),
    "decided": Words("Đã xem", "Decided"),
    "rejected": Words("Đã loại", "Rejected"),
    "all": Words("Tất cả", "All"),
}

# A failed check in Vietnamese; in English it says itself what it found.
_CHECKS = {
    "low_confidence": "Có giá trị chưa chắc chắn",
    "field_invalid": "Không đúng dạng của trường này",
    "nothing_read": "Không đọc được giá trị nào",
    "page_conflict": "Các trang ghi khác nhau",
    "incomplete": "Trên giấy còn chữ số chưa được đọc",
    "duplicate_invoice": "Hóa đơn này đã có trong kho, từ tài liệu khác",
    "duplicate_file": "Tệp này đã có trong kho dưới tên khác",
    "several_documents": "Có thể có nhiều chứng từ trong một tệp",
    "thousands_unclear": "Không rõ dấu chấm trong XML là phần nghìn hay phần thập phân",
    "number_ambiguous": "Số có thể hiểu theo hai cách",
    "several_values": "Một trường có nhiều giá trị trong XML",
    "line_empty": "Có dòng không có giá trị nào",
    "line_repeated": "Có dòng lặp lại dòng trước",
    "line_numbers": "Số thứ tự các dòng không liên tục",
    "line_amount": "Số lượng × đơn giá không bằng thành tiền",
    "line_discount": "Tiền chiết khấu không khớp tỷ lệ chiết khấu",
    "fees": "Các loại phí cộng lại không bằng tổng tiền phí",
    "line_vat": "Tiền thuế của dòng không khớp thuế suất",
    "total": "Cộng lại không bằng tổng cộng",
    "net": "Các dòng cộng lại không bằng tiền hàng",
    "vat": "Tiền thuế không khớp với thuế suất",
    "vat_rate": "Thuế suất không có tại ngày đó",
    "vat_breakdown": "Bảng tổng hợp thuế không khớp",
    "total_in_words": "Số tiền bằng chữ khác số tiền bằng số",
    "change": "Tiền thừa không khớp",
    "coins": "Số tiền không trả được bằng tiền mặt",
    "tax_code": "Mã số thuế sai số kiểm tra",
    "date_order": "Thứ tự các ngày không hợp lý",
    "series": "Ký hiệu hóa đơn không hợp lệ",
    "series_code": "Ký hiệu và mã cơ quan thuế không khớp",
    "series_year": "Năm trong ký hiệu không khớp ngày lập",
    "form_no": "Mẫu số không hợp lệ",
    "tax_authority_code": "Mã của cơ quan thuế không hợp lệ",
    "currency": "Loại tiền không rõ",
    "parties": "Người bán và người mua trùng nhau",
    "expiry": "Hạn sử dụng không khớp ngày sinh",
    "number_province": "Mã tỉnh trong số không tồn tại",
    "number_sex": "Giới tính không khớp với số",
    "number_birth": "Năm sinh không khớp với số",
    "mrz_check_digits": "Dòng MRZ sai số kiểm tra",
    "qr_checksum": "Mã QR sai tổng kiểm tra",
    "witnesses_differ": "Nguồn khác ghi giá trị khác",
    "required": "Thiếu giá trị bắt buộc",
    "expected": "Thiếu giá trị mà giấy tờ loại này phải có",
    "line_gap": "Dòng này thiếu giá trị mà các dòng khác có",
    "not_read": "Chưa đọc được, nhưng nguồn khác có giá trị",
    "layout_unknown": "Thiếu quá nửa số giá trị: có thể là mẫu chưa biết",
    "future_date": "Ngày sau ngày đọc",
    "date_old": "Ngày quá xa trong quá khứ",
    "age": "Tuổi không hợp lý",
    "issue_age": "Cấp trước khi đủ 14 tuổi",
    "form_date": "Mẫu thẻ không được cấp vào ngày này",
    "notes": "Số tiền khách đưa không trả được bằng tiền mặt",
    "number_birth_year": "Năm sinh không khớp với số",
    "schema": "Không đúng yêu cầu của mẫu",
    "signature": "Chữ ký điện tử cần xem lại",
    "reading_differs": "Lần đọc sau khác với giá trị đã duyệt",
    "content_cut": "Nội dung trang bị cắt",
    "picture_damaged": "Ảnh bị hỏng",
    "page_blank": "Trang trống",
    "letters_missing": "Thiếu chữ của phông",
    "annotation_not_drawn": "Có ghi chú không vẽ được",
    "attachment_not_read": "Có tệp đính kèm chưa đọc",
    "check_crashed": "Quy tắc kiểm tra bị lỗi",
    "words_doubtful": "Có chữ chưa chắc chắn trong câu trả lời",
    "form_not_kept": "Có giá trị không đúng dạng của mẫu",
    "text_passed_over": "Trên trang còn chữ chưa được chép",
    "text_invented": "Có con số không thấy trên trang",
    "page_blurred": "Trang bị mờ",
    "page_glare": "Trang bị chói sáng",
    "page_cut": "Giấy bị cắt góc",
}


def check(code: str) -> str:
    """What a failed check says in Vietnamese; "" for one that only its author knows."""
    if code in _CHECKS:
        return _CHECKS[code]
    witness = SOURCES.get(code.partition("_")[0])
    return f"{witness.vi[0].upper()}{witness.vi[1:]} ghi khác" if witness is not None else ""


def english(name: str) -> str:
    """A field's name as words: seller_tax_code → seller tax code."""
    return name.replace("_", " ")
