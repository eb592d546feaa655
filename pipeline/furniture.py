"""What is printed on papers of this country beside their values and labels, and says nothing about either.

Words without diacritics. From the sample forms of Decree 123/2020 (annex III) and Circular 78/2021, the cards
of Circular 06/2021 and 16/2024 of the Ministry of Public Security, and what software for invoices and tills
prints around them, also in English.
"""

from __future__ import annotations

import re

_PHRASES = """
hoa don gia tri gia tang ban hang dien tu ban the hien cua phieu xuat kho kiem van chuyen noi bo
vat invoice sales e-invoice electronic
mau so ky hieu so ngay thang nam lap ma cua co quan thue mccqt cqt mst
form serial no date day month year code tax authority
don vi ho ten nguoi ban mua hang dia chi dien thoai so tai khoan ngan hang tai mo chi nhanh fax email website
ben dai dien chuc vu can cuoc cccd cmnd ho chieu ma khach hang so hop dong
seller buyer company name address tel phone hotline account bank customer full legal citizen id
hinh thuc thanh toan tien mat chuyen khoan tm ck dong tien loai tien te ty gia don vi tinh dvt
payment method cash transfer currency exchange rate unit
stt tt ten hang hoa dich vu so luong sl don gia thanh tien ghi chu thue suat tien thue gtgt ts chiet khau
item description goods services quantity qty price amount note discount
cong tien hang tong cong tong tien bang chu viet tong hop chua co truoc sau da bao gom phi khac lam tron
total subtotal grand sum in words before after including net vat rate
trang tiep con theo cong chuyen sang truoc mang page of continued carried forward next previous
ky ghi ro ho ten dong dau boi thu truong giam doc ke toan nguoi lap mua chu ky so hop le ky duoc bang
signed by signature digital valid sign stamp and full director accountant
can kiem tra doi chieu khi giao nhan hoa don tra cuu tai ma nhan phan mem giai phap cung cap phat hanh luu
lien giao cho nguoi mua noi bo chuyen doi tu nguyen goc thay the dieu chinh cho
check look up lookup website search provided software solution issued printed copy original
cong hoa xa hoi chu nghia viet nam doc lap tu do hanh phuc bo cong an
socialist republic of viet nam independence freedom happiness ministry public security
can cuoc cong dan giay chung minh identity card citizen ngon tro trai phai left right index finger
director general cuc truong canh sat quan ly hanh chinh ve trat tu xa hoi police department for administrative
management social order dac diem nhan dang noi co gia tri den het han cap sinh gioi tinh quoc tich que quan
thuong tru dang ky khai
date birth sex nationality place origin residence expiry personal identification valid until
phieu tinh tien thu ngan quay ban ca giam gia khach dua tra lai thua cam on quy khach hen gap lai xin
vui long doi tra hang trong vong ngay kem gio vao ra
receipt bill cashier table shift thank you see again change paid
mau specimen khong co gia tri ban nhap draft sample
"""

WORDS = frozenset(_PHRASES.split())
# What columns are called beside the schema's own label for them, by the names that such fields usually have.
COLUMNS = {
    "quantity": ("so luong", "sl", "qty"),
    "unit_price": ("don gia", "d.gia", "gia", "price"),
    "amount": ("thanh tien", "t.tien", "tien", "total"),
}
# How lines begin that sum a table up, and are none of its own. With diacritics, or all without: "thuê" (rent)
# and "công" (labour) are goods.
SUMS = re.compile(
    r"(cộng|cong|tổng|tong|thuế|thue|subtotal|total|grand|sum|vat|tax)\b|(số|so) (tiền|tien)\b"
    r"|(tiền|tien) (thuế|thue|hàng|hang|khách|khach|thừa|thua|chiết|chiet|giảm|giam)\b"
    r"|(chiết khấu|chiet khau|giảm giá|giam gia)\b"
)
# Lines about what no schema asks for, without diacritics: how to reach and pay the seller, where to look the
# paper up, whose software made it, and what a signature shows of itself.
ASIDES = re.compile(
    r"\b(dien thoai|tel|phone|hotline|fax|e-?mail|website|so tai khoan|so tk|stk|ngan hang|account|bank"
    r"|tra cuu|look ?up|ma nhan hoa don|phat hanh boi|phan mem|giai phap|cung cap (boi|giai phap)|powered by"
    r"|signature valid|(duoc )?ky boi|ky ngay|signed by|signing date)\b|https?://|www\.|@"
)
