"""Names and sentences of the demo company: invented companies, people, purposes, comments."""

from __future__ import annotations

from typing import NamedTuple


class Person(NamedTuple):
    """Somebody invented."""

    name: str
    login: str
    """The name in ASCII, for an address."""

    @property
    def email(self) -> str:
        """An address at example.com."""
        return f"{self.login}@example.com"


_JP_STEMS = (
    "青葉", "白樺", "みなと", "日和", "千歳", "若草", "木曽川", "朝凪", "北辰", "東雲", "瑞穂",
    "双葉", "桐生野", "蒼空", "七里", "穂高野", "しらぎく", "渚", "山吹", "銀河", "小春",
    "常磐木", "水明", "緑風", "春日野", "あけぼの", "月見", "桜坂", "若竹", "高千", "花岡",
)  # fmt: skip
_JP_TRADES = (
    "精機", "物流", "食品", "システムズ", "商事", "建設", "メディカル", "電子", "印刷", "トラベル",
    "化学", "繊維", "設備",
)  # fmt: skip
_EN_STEMS = (
    "Larkfield", "Northbeam", "Quillstone", "Brightwater", "Oakhaven", "Silverpine", "Marlowe",
    "Fernhill", "Copperleaf", "Ravenport", "Willowgate", "Hartwell", "Eastmere", "Thornbury",
    "Bluecrest", "Kestrel", "Amberley", "Stonebridge", "Clearbrook", "Foxglove", "Greywell",
    "Highmoor", "Juniper", "Kingsdale", "Lindenhall", "Mossbank", "Harborlight", "Pebblecroft",
    "Rosemont", "Summerlea", "Tidewell",
)  # fmt: skip
_EN_TRADES = (
    "Logistics", "Analytics", "Foods", "Instruments", "Health", "Supply", "Media", "Freight",
    "Components", "Travel", "Packaging", "Retail", "Textiles",
)  # fmt: skip
_LEGAL_FORMS = {
    "US": "Inc.",
    "GB": "Ltd",
    "DE": "GmbH",
    "FR": "SAS",
    "SG": "Pte. Ltd.",
    "AU": "Pty Ltd",
}

_JP_FAMILY = (
    ("佐藤", "sato"),
    ("鈴木", "suzuki"),
    ("高橋", "takahashi"),
    ("田中", "tanaka"),
    ("渡辺", "watanabe"),
    ("伊藤", "ito"),
    ("中村", "nakamura"),
    ("小林", "kobayashi"),
    ("加藤", "kato"),
    ("吉田", "yoshida"),
    ("山本", "yamamoto"),
    ("松本", "matsumoto"),
    ("井上", "inoue"),
)
_JP_GIVEN = (
    ("健太", "kenta"),
    ("美咲", "misaki"),
    ("大輔", "daisuke"),
    ("陽子", "yoko"),
    ("翔", "sho"),
    ("由美", "yumi"),
    ("直樹", "naoki"),
    ("彩", "aya"),
    ("拓也", "takuya"),
    ("恵", "megumi"),
    ("誠", "makoto"),
)
_GIVEN = {
    "en": ("Emma", "Oliver", "Grace", "Henry", "Amelia", "Jack", "Chloe", "Samuel", "Ruby"),
    "DE": ("Anna", "Lukas", "Lena", "Jonas", "Marie", "Felix", "Clara"),
    "FR": ("Camille", "Louis", "Manon", "Hugo", "Claire", "Antoine", "Julie"),
    "SG": ("Wei Ling", "Marcus", "Hui Min", "Arjun", "Priya", "Daniel", "Siti"),
}
_FAMILY = {
    "en": ("Walker", "Bennett", "Hughes", "Foster", "Reed", "Parker", "Cole", "Murray"),
    "DE": ("Becker", "Hoffmann", "Krause", "Vogel", "Lang"),
    "FR": ("Moreau", "Lambert", "Girard", "Fontaine", "Mercier"),
    "SG": ("Tan", "Lim", "Nair", "Goh", "Rahman"),
}

_OWNERS = {
    "ja": (
        Person("森 遥", "haruka.mori"), Person("藤井 亮", "ryo.fujii"),
        Person("岡田 千夏", "chinatsu.okada"), Person("石川 匠", "takumi.ishikawa"),
    ),
    "en": (
        Person("Nina Hayes", "nina.hayes"), Person("Tom Ashby", "tom.ashby"),
        Person("Mei Kondo", "mei.kondo"),
    ),
}  # fmt: skip

_KARTE = {
    "ja": (
        ("月次の売上レポートづくりを5日から1日に短縮する",
         "各拠点の数字をExcelで集めており、締め日のあと担当者が残業していた。"),
        ("全国の倉庫の在庫を毎朝ひと目で確認する",
         "欠品に気づくのが翌週になり、急ぎの手配で送料がかさんでいた。"),
        ("営業会議の資料をひとつのダッシュボードにまとめる",
         "部門ごとに集計の定義が違い、会議の半分が数字合わせに使われていた。"),
        ("解約の兆しを早くつかみ、先に声をかける",
         "問い合わせが来たときには解約が決まっている、ということが続いた。"),
        ("店舗ごとの来客数と売上を店長自身が見られるようにする",
         "本部が週に一度メールで配る表だけが頼りで、店長は当日の状況を知らなかった。"),
        ("工場の不良率を工程別に追い、原因を週内に特定する",
         "品質データが紙の日報に残り、分析が始まるのは翌月だった。"),
        ("広告費の効果を媒体別に毎週見直す",
         "代理店ごとに報告の形式が違い、比較に丸二日かかっていた。"),
        ("採用の進み具合を各部門の責任者と共有する",
         "候補者の状況が人事の手元にしかなく、面接の調整が遅れがちだった。"),
        ("予算と実績の差を部門長が自分で確認できるようにする",
         "経理への問い合わせが月末に集中し、決算の作業が止まっていた。"),
        ("配送の遅れを当日中に荷主へ報告する",
         "遅延の連絡が電話に頼り、荷主から先に問い合わせを受けていた。"),
        ("サポートの対応時間を見える化し、初回の返信を2時間以内にする",
         "担当者ごとに管理表が分かれ、対応の漏れが月に数件あった。"),
    ),
    "en": (
        ("cut the monthly sales report from five days to one",
         "Each site kept its own spreadsheet and the figures never agreed on the first try."),
        ("see stock in every warehouse each morning",
         "Shortages were noticed a week late and express freight ate the margin."),
        ("run the weekly sales meeting from one dashboard",
         "Teams counted revenue differently, so half the meeting went into reconciling."),
        ("spot customers at risk before they call to cancel",
         "By the time support heard of a problem, the decision to leave had been made."),
        ("let store managers see visitors and sales on the same day",
         "Head office mailed a table once a week; managers were always looking backwards."),
        ("trace defects to a production step within the week",
         "Quality data lived on paper sheets and was analysed the month after."),
        ("compare marketing spend by channel every week",
         "Every agency reported in its own format and comparing took two days."),
        ("give department heads their budget and actuals without asking finance",
         "Questions piled up at month end and held up the closing."),
        ("tell customers about late deliveries on the same day",
         "Delays were passed on by phone, often after the customer had already called."),
    ),
}  # fmt: skip

_COMMENTS = {
    "ja": (
        ("設定で止まったままです。何から始めればよいか教えてほしい。",
         "担当者が異動し、使い方がわかる人がいません。",
         "画面が多く、目的の機能にたどり着けません。"),
        ("便利ですが、使っているのは一部の人だけです。",
         "データの取り込みをもう少し簡単にしてほしい。",
         "レポートの種類が増えるとうれしいです。"),
        ("会議の準備がとても楽になりました。", "共有機能のおかげで部門間の話が早くなりました。",
         "サポートの返事が早く、助かっています。"),
    ),
    "en": (
        ("We got stuck in the setup and do not know where to begin.",
         "The person who knew the tool has left.", "Too many screens for what we need."),
        ("Useful, but only a few of us use it.", "Importing data could be simpler.",
         "More report templates would help."),
        ("Meetings are so much easier to prepare now.", "Sharing reports sped up our reviews.",
         "Support answers quickly, thank you."),
    ),
}  # fmt: skip


def company(country: str, number: int) -> str:
    """The name of an account; different for every number."""
    stems, trades = (_JP_STEMS, _JP_TRADES) if country == "JP" else (_EN_STEMS, _EN_TRADES)
    # Numbers of stems and trades have no common factor: every pair comes up before one repeats.
    again = number // (len(stems) * len(trades))
    stem, trade = stems[number % len(stems)], trades[number % len(trades)]
    if country == "JP":
        return f"{stem}{trade}株式会社" if not again else f"{stem}{trade}第{again + 1}株式会社"
    middle = f" {again + 1}" if again else ""
    return f"{stem} {trade}{middle} {_LEGAL_FORMS[country]}"


def person(country: str, number: int, place: int) -> Person:
    """A contact of an account. `country` may also be "en"."""
    if country == "JP":
        family = _JP_FAMILY[(number * 3 + place * 5) % len(_JP_FAMILY)]
        given = _JP_GIVEN[(number + place * 4) % len(_JP_GIVEN)]
        return Person(f"{family[0]} {given[0]}", f"{given[1]}.{family[1]}")
    pool = country if country in _GIVEN else "en"
    given_name = _GIVEN[pool][(number + place * 2) % len(_GIVEN[pool])]
    family_name = _FAMILY[pool][(number * 3 + place * 3) % len(_FAMILY[pool])]
    login = f"{given_name}.{family_name}".lower().replace(" ", "")
    return Person(f"{given_name} {family_name}", login)


def owner(country: str, number: int) -> Person:
    """The customer-success person of an account."""
    team = _OWNERS["ja" if country == "JP" else "en"]
    return team[number % len(team)]


def karte(locale: str, number: int) -> tuple[str, str]:
    """Why an account bought, and what its situation was: purpose and background."""
    charts = _KARTE[locale]
    return charts[number % len(charts)]


def comment(locale: str, score: float, number: int) -> str | None:
    """What somebody writes beside a score; two in five do."""
    if number % 5 > 1:
        return None
    choices = _COMMENTS[locale][0 if score <= 5 else 1 if score <= 7 else 2]
    return choices[number % len(choices)]
