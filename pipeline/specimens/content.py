"""The words that invented documents are made of: names, places, goods. Written out by hand."""

from __future__ import annotations


def listed(text: str) -> tuple[str, ...]:
    """The entries of a list written as one text, parted by "|" if there is one and else by white space."""
    entries = text.split("|") if "|" in text else text.split()
    return tuple(" ".join(entry.split()) for entry in entries)


def priced(text: str) -> tuple[tuple[str, str, int], ...]:
    """Entries "name / unit / price in thousands of đồng"; goods of the till have no unit."""
    rows = (entry.split(" / ") for entry in listed(text))
    return tuple((row[0], "" if len(row) == 2 else row[1], int(row[-1])) for row in rows)


SURNAMES = listed("""
    Nguyễn Trần Lê Phạm Hoàng Huỳnh Phan Vũ Võ Đặng Bùi Đỗ Hồ Ngô Dương Lý Đinh Trịnh Mai Lương Đào Hà
    Đoàn Tạ Cao Chu Châu Quách Thái Tô Vương Kiều Lưu Tống Lâm Nghiêm Triệu Phùng La Mạc
""")
MALE_MIDDLE = listed("""
    Văn Hữu Đức Minh Quốc Gia Xuân Công Đình Thanh Tuấn Anh Quang Ngọc Trọng Bá Duy Thế
""")
FEMALE_MIDDLE = listed("""
    Thị Ngọc Thu Kim Thanh Hồng Phương Thùy Mỹ Như Bích Diệu Khánh Minh Quỳnh Ánh Hải Cẩm
""")
MALE_GIVEN = listed("""
    An Bình Chiến Cường Dũng Đạt Đức Giang Hải Hiếu Hòa Hoàng Hùng Huy Khoa Khôi Kiên Lâm Long Lộc Mạnh
    Nam Nghĩa Nhân Phong Phúc Quân Quyết Sơn Tài Tâm Thành Thắng Thịnh Toàn Trí Trung Tú Tuấn Tùng Việt
    Vinh Vũ Ý
""")
FEMALE_GIVEN = listed("""
    Anh Ánh Châu Chi Diễm Dung Đào Giang Hà Hạnh Hằng Hiền Hoa Hòa Huệ Hương Huyền Lan Linh Loan Ly Mai
    My Nga Ngân Nhi Nhung Oanh Phượng Quyên Quỳnh Tâm Thảo Thơm Thúy Thư Trang Trinh Tuyết Uyên Vân Vy
    Xuân Yến
""")
PROVINCES = listed("""
    Hà Nội | Hải Phòng | Đà Nẵng | Cần Thơ | Huế | TP. Hồ Chí Minh | An Giang | Bắc Ninh | Cà Mau | Cao
    Bằng | Đắk Lắk | Điện Biên | Đồng Nai | Đồng Tháp | Gia Lai | Hà Tĩnh | Hưng Yên | Khánh Hòa | Lai
    Châu | Lạng Sơn | Lào Cai | Lâm Đồng | Nghệ An | Ninh Bình | Phú Thọ | Quảng Ngãi | Quảng Ninh |
    Quảng Trị | Sơn La | Tây Ninh | Thái Nguyên | Thanh Hóa | Tuyên Quang | Vĩnh Long | Bắc Giang | Bến
    Tre | Bình Dương | Bình Định | Bình Thuận | Hà Giang | Hà Nam | Hải Dương | Hòa Bình | Kiên Giang |
    Kon Tum | Long An | Nam Định | Phú Yên | Quảng Nam | Sóc Trăng | Thái Bình | Tiền Giang | Trà Vinh |
    Vĩnh Phúc | Yên Bái
""")
PLACE_FIRST = listed("""
    An Bình Cẩm Chánh Diên Đại Đông Đức Gia Hải Hòa Hoài Hưng Khánh Kim Lạc Liên Long Minh Mỹ Nam Nghĩa
    Nhơn Ninh Phú Phước Quang Quảng Quỳnh Sơn Tam Tân Tây Thạch Thanh Thiện Thọ Thuận Thượng Tiên Trung
    Trường Văn Vĩnh Xuân Yên
""")
PLACE_LAST = listed("""
    An Bình Cát Châu Dương Đài Định Đông Đức Giang Hà Hải Hậu Hiệp Hòa Hội Hưng Khê Khánh Lãnh Lâm Lập
    Lộc Lợi Long Lương Mỹ Ngãi Nghĩa Ninh Phong Phú Phúc Phước Quý Sơn Tây Thái Thắng Thành Thịnh Thọ
    Thủy Tiến Trạch Trị Vân Xá
""")
STREETS = listed("""
    Lê Lợi | Trần Hưng Đạo | Nguyễn Huệ | Hai Bà Trưng | Lý Thường Kiệt | Quang Trung | Nguyễn Trãi | Lê
    Duẩn | Hùng Vương | Phan Chu Trinh | Phan Bội Châu | Điện Biên Phủ | Cách Mạng Tháng 8 | Võ Thị Sáu
    | Nguyễn Văn Cừ | Lạc Long Quân | Âu Cơ | Hoàng Diệu | Ngô Quyền | Bà Triệu | Trường Chinh | Tôn Đức
    Thắng | Kim Mã | Láng Hạ | Xuân Thủy | Cầu Giấy | Giải Phóng | Nguyễn Đình Chiểu | Phạm Ngũ Lão |
    Bùi Thị Xuân | Tô Hiến Thành | Đinh Tiên Hoàng | Yết Kiêu | Nguyễn Tất Thành
""")
FEATURES = listed("""
    Nốt ruồi | Sẹo chấm | Sẹo dài | Nốt ruồi nhỏ | Sẹo lồi | Vết chàm
""")
FEATURE_PLACES = listed("""
    sau đuôi mắt | dưới mép | trên đầu lông mày | trước cánh mũi | dưới cằm | sau mép | trên má | trước
    dái tai
""")

# The parts of a syllable, for words that mean nothing
ONSETS = listed("""
    b c ch d đ g gh h k kh l m n ng nh p ph qu r s t th tr v x
""")
VOWELS = listed("""
    a ă â e ê i o ô ơ u ư y ia iê ươ uô oa oe uy ai ao au âu ay ây eo êu iu oi ôi ơi ui ưi
""")
CODAS = listed("""
    c ch m n ng nh p t
""")

KINDS_OF_SHOP = listed("""
    Cửa hàng | Siêu thị | Tạp hóa | Quán | Nhà hàng | Mini mart | Tiệm | Nhà thuốc | Nhà sách | Cà phê |
    Trà sữa | Bánh mì
""")
COMPANY_FORMS = listed("""
    CÔNG TY TNHH | CÔNG TY CỔ PHẦN | CÔNG TY TNHH MTV | CÔNG TY CP | HỢP TÁC XÃ | DNTN
""")
TRADES = listed("""
    THƯƠNG MẠI | DỊCH VỤ | XÂY DỰNG | THIẾT BỊ | THỰC PHẨM | VẬN TẢI | CÔNG NGHỆ | IN ẤN | NỘI THẤT |
    VẬT LIỆU | NÔNG SẢN | MAY MẶC | THƯƠNG MẠI DỊCH VỤ | SẢN XUẤT VÀ THƯƠNG MẠI | TƯ VẤN | GIẢI PHÁP |
    CƠ KHÍ | ĐIỆN TỬ | DƯỢC PHẨM | LOGISTICS
""")
WARES = priced("""
    Cà phê sữa / 25 | Cà phê đen / 20 | Trà đào / 30 | Trà sữa / 35 | Nước suối / 6 | Bánh mì / 18 | Phở
    bò / 50 | Phở gà / 45 | Bún chả / 45 | Bún bò Huế / 50 | Cơm tấm / 40 | Cơm rang / 45 | Mì tôm / 5 |
    Sữa tươi / 8 | Sữa chua / 7 | Đường trắng / 24 | Gạo ST25 / 38 | Nước mắm / 45 | Dầu ăn / 52 | Trứng
    gà / 32 | Bột giặt / 65 | Dầu gội / 89 | Kem đánh răng / 32 | Khăn giấy / 12 | Xà phòng / 15 | Bia
    lon / 17 | Nước ngọt / 10 | Kẹo dừa / 22 | Bánh quy / 28 | Mứt gừng / 40 | Chè khô / 75 | Hạt điều /
    120 | Bút bi / 5 | Vở ô ly / 9 | Thước kẻ / 7 | Giấy A4 / 72 | Pin AA / 16 | Bóng đèn / 48 | Ổ cắm
    điện / 95 | Khẩu trang / 30 | Muối tôm / 14 | Cá hộp / 26 | Xúc xích / 34 | Thịt heo / 130 | Cá thu
    / 180 | Rau muống / 8 | Cải ngọt / 10 | Cam sành / 35 | Xoài cát / 55 | Chuối già / 20 | Bưởi da
    xanh / 60 | Thanh long / 25 | Nem chua / 42 | Giò lụa / 90
""")
GOODS = priced("""
    Giấy in A4 Double A 70gsm / Ram / 68 | Mực in laser HP 76A / Hộp / 1450 | Bàn làm việc 1m4 / Cái /
    2350 | Ghế xoay văn phòng / Cái / 1180 | Máy tính xách tay 14 inch / Chiếc / 18900 | Màn hình LCD 24
    inch / Chiếc / 3290 | Dịch vụ vận chuyển hàng hóa nội thành / Chuyến / 850 | Phí bảo trì phần mềm kế
    toán / Tháng / 1500 | Cước dịch vụ Internet cáp quang / Tháng / 660 | Xi măng PCB40 / Bao / 89 |
    Thép cây phi 12 / Cây / 185 | Cát xây dựng / m3 / 320 | Gạch ống 4 lỗ / Viên / 1 | Sơn nước nội thất
    18 lít / Thùng / 1620 | Dây điện đơn 2.5mm2 / Mét / 9 | Ống nhựa PVC D90 / Mét / 58 | Gạo thơm lài /
    Kg / 19 | Dầu ăn 5 lít / Can / 215 | Nước khoáng 500ml / Thùng / 92 | Cà phê rang xay / Kg / 240 |
    Áo sơ mi đồng phục / Cái / 185 | Tư vấn thiết kế nội thất / Gói / 12500 | In tờ rơi A5 hai mặt / Tờ
    / 1 | Suất ăn công nghiệp / Suất / 32 | Thuê xe 16 chỗ / Ngày / 1700 | Phân bón NPK 16-16-8 / Bao /
    610 | Thức ăn chăn nuôi / Bao / 355 | Máy bơm nước 1HP / Chiếc / 2150 | Bình chữa cháy 4kg / Bình /
    265 | Găng tay bảo hộ / Đôi / 14 | Điều hòa không khí 12000BTU bao gồm công lắp đặt và vật tư / Bộ /
    9850 | Vé máy bay khứ hồi Hà Nội - Đà Nẵng / Vé / 2780
""")
