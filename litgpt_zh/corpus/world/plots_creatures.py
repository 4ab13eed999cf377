"""Plots of creatures among themselves: in the sea, in the grass, before the winter."""

from __future__ import annotations

from litgpt_zh.corpus.world.engine import World, plot
from litgpt_zh.corpus.world.groups import insect_heroes, water_heroes

STORES = "花生 核桃 栗子 松子 榛子 莲子 玉米 土豆 红薯 紫薯 芋头 萝卜 白萝卜 胡萝卜 红萝卜 大白菜 黄豆 绿豆 红豆 蚕豆 豌豆 南瓜 冬瓜 枣子 瓜子"


@plot("海底的朋友", "animal")
def sea(w: World) -> None:
    """Under water: one is laughed at for its looks, which later save the others."""
    w.scene(season="any", sky="sunny")
    w.now.hush()
    w.plain = True
    w.folk = water_heroes(w.lexicon)
    w.hero("h")
    w.friend("f")
    w.pick("b", "animal", "sea", "swims")
    w.pick("x", "animal", "sea", "small")
    w.put("p", "珊瑚丛 海底 海湾 大海")
    w.put("gift", "颜色很暗 个子太小 嘴巴太大 游得太慢 总是不说话 胆子太小 声音太小 身上有斑点 眼睛太大 样子太怪")
    danger = w.choice("net", "dark", "shark")
    w.tell(
        "{p.in}住着{h.one}，因为{gift}，大家都不跟它玩。",
        "{h}{gift}，{f}常常[笑话|取笑]{h}。",
        "因为{gift}，大家都笑{h}，{h}{*mood:downcast.very}，总是独自游来游去。",
        "<f.laugh 你{gift}，我们才不跟你玩！>{h}听了伤心极了。",
    )
    w.more(
        "{h}躲在石缝里，看着{f}和伙伴们追来追去。",
        "水面上的光照下来，一晃一晃的，{h}觉得自己更孤单了。",
        "{x}游过来，轻轻碰了碰{h}，好像在说：别难过。",
        "每天早上，大家排着队去找吃的，{h}总是跟在最后面。",
    )
    w.more(
        "只有{x}不嫌弃{h}，常常来陪{h}说话。",
        "{h}把找到的[贝壳|海螺|珍珠|小石子]送给大家，大家看也不看。",
        "海水蓝蓝的，{b}带着一群孩子从旁边游过，谁也没有停下来。",
    )
    if danger == "net":
        w.tell(
            "有一天，一张大网落下来，{f}被困住了。",
            "忽然，一张渔网从天而降，{f}怎么也逃不出去了。",
            "谁知一张破渔网漂来，缠住了{f}。",
        )
        w.tell(
            "{h}[咬啊咬|用力地拉]，在网上弄出了一个洞。",
            "{h}从小小的网眼钻进去，帮{f}解开了绳子。",
            "{h}不顾危险，一口一口把网咬破了。",
        )
    elif danger == "dark":
        w.tell(
            "有一天，{f}游进了一个黑黑的洞，找不到路了。",
            "一场风暴过后，海水变得又黑又浑，{f}迷了路。",
            "{f}追着{x}，游进了又深又黑的地方，吓得直哭。",
        )
        w.tell(
            "{h}{*manner:brave}地游进去，一路喊着{f}。",
            "{h}不怕黑，一点一点摸着石头，找到了{f}。",
            "{h}对这里最熟悉，带着{f}慢慢游了出来。",
        )
    else:
        w.tell(
            "有一天，一条凶猛的{*animal:sea,fierce}冲了过来，紧紧追着{f}不放。",
            "忽然，{*animal:sea,fierce.one}张着大嘴，向{f}扑来。",
            "谁知{*animal:sea,fierce.one}盯上了{f}，越追越近。",
        )
        w.tell(
            "{h}一下子挡在{f}前面，把大家伙引到了石缝里。",
            "{h}搅起泥沙，什么也看不见了，{f}趁机逃走。",
            "{h}叫{f}躲进自己的小洞，洞口小，大家伙进不来。",
        )
    w.flag("转折")
    w.para()
    w.tell(
        "{f}得救了，{*mood:embarrassed.very}。",
        "{f}游过来，低下头说了声谢谢。",
        "<f.sorry 对不起，我以前不该笑你。>",
        "{f}红了脸，再也不敢笑话{h}了。",
    )
    w.tell(
        "从此，{h}和{f}天天在{p.in}游来游去。",
        "大家围着{h}转圈，{b}还送给{h}一颗珍珠。",
        "{h}笑了：原来和大家不一样也没什么不好。",
        "{h}有了朋友，{*mood:glad.very}。",
        "{x}把这件事告诉了整个大海，大家都说{h}真勇敢。",
    )
    w.more(
        "{f}把自己最爱吃的水草分给了{h}一半。",
        "消息传得很快，连很远的地方都知道了{h}的名字。",
        "那天晚上，大家在{p.in}开了一个热闹的晚会，{b}唱了好几首歌。",
        "小鱼们排成一圈，给{h}跳了一支舞。",
    )
    w.moral("looks", probability=0.4)
    w.sum(
        "{h}因为{gift}被笑话，后来却救了{f}，两个成了朋友。",
        "{f}取笑{h}，遇到危险时却是{h}救了它。",
    )


@plot("小虫子过河", "animal")
def insects(w: World) -> None:
    """The very small meet a puddle as wide as a sea."""
    w.scene(season="summer", day="morning")
    w.plain = True
    w.folk = insect_heroes(w.lexicon)
    w.hero("h")
    w.friend("f")
    w.pick("l", "plant", "tree", "-climbable", "-vine")
    w.put(
        "l",
        "树叶 花瓣 柳叶 竹叶 银杏叶 玫瑰花瓣 莲叶 芭蕉叶 梧桐叶 嫩叶 树皮 蛋壳 松针 贝壳 麦秆 小木棍 羽毛 浮萍",
    )
    w.pick("x", "food", "fruit") if w.chance(0.6) else w.pick("x", "food", "candy", "shareable")
    w.pick("big", "animal", "farm", "big")
    w.pick("v", "plant", "flower", "-fragrant")
    help_comes = w.chance(0.5)
    w.tell(
        "雨后，{h}和{f}要到水洼那边去找{x}，可是水洼像大海一样宽。",
        "{when}{h}闻到对岸有{x}的香味，可是中间隔着一条小水沟。",
        "{when}{h}和{f}出门，一夜的雨水把路淹没了。",
        "{when}大水漫到了{h}家门口的{v}下面，{h}和{f}要到对岸去。",
    )
    w.more(
        "草叶上挂满了水珠，每一颗里都有一个小小的太阳。",
        "{f}爬到高处看了看，前前后后都是水。",
        "{h}用腿试了试水，冷得直发抖。",
        "路边的{*plant:flower}低着头，也在滴水。",
    )
    w.tell(
        "{h}试着跳，{*sound:drop}一声掉进了水里，好不容易才爬上来。",
        "<h.worry 水这么深，怎么过去呢？>",
        "{h}{*mood:worried.very}，在水边爬来爬去。",
        "<f.sad [等水干了再走吧|还是回去吧]。>{h}摇摇头。",
        "{*idiom:think@h}。",
    )
    w.more(
        "一滴水珠从{v}上落下来，差点把{h}砸倒。",
        "远处，{big}走过来，脚步声像打雷一样。",
        "{h&f.ta}站在{v}下面，想了好一会儿。",
    )
    w.tell(
        "这时，{l.one}漂了过来，{h}有了主意。",
        "{h}看见{l.one}，眼睛一亮：可以当船！",
        "<f.glad 看，那里有{l.one}！>",
        "风吹来{l.one}，正好落在{h}面前。",
    )
    w.para()
    w.tell(
        "{h&f.ta}坐上{l}，用草秆划呀划，[越划越远|离对岸越来越近]。",
        "{h}在前面划，{f}在后面推，{l}慢慢地向前漂。",
        "{h&f.ta}一个划，一个看路，坐着{l}出发了。",
        "{h&f.ta}把{l}推下水，跳了上去。",
        "{h&f.ta}坐着{l}，慢慢离开了岸边。",
    )
    if help_comes:
        w.tell(
            "忽然一阵大风，{l}翻了，{h}在水里大喊救命。",
            "划到一半，{big}来喝水，掀起了大浪。",
            "可是水流太急，{l}打起转来。",
        )
        w.tell(
            "{big}低下头，轻轻一推，把{h&f.ta}送到了岸上。",
            "{f}抓住一根草，把{h}拉了上来。",
            "{*animal:insect,flies,gentle.one}飞来，拉着{h}上了岸。",
        )
    else:
        w.tell("{l}稳稳地漂着，终于靠岸了。", "风帮了大忙，把{l}一直吹到对岸。", "不一会儿，{l}轻轻地碰到了岸边。")
    w.tell(
        "对岸有好吃的{x}，{h&f.ta}吃得肚子圆圆的。",
        "{h&f.ta}在岸上找到了{x}，分给大家吃。",
        "{h}站在岸上，觉得自己像个大英雄，{*mood:grand.very}。",
        "从此，{h&f.ta}再也不怕水了，常常坐着{l}去旅行。",
        "大家都来学，水面上漂满了小船。",
    )
    w.more(
        "{h}把小船藏在草丛里，说以后还用得着。",
        "回来的时候，{h&f.ta}唱着歌，一点也不害怕了。",
        "{f}说，这是最了不起的一次旅行。",
        "晚上，{h}把坐船的事讲给大家听，讲了一遍又一遍。",
    )
    w.moral("wit", "team", probability=0.4)
    w.sum(
        "{h}和{f}用{l}当小船，渡过了大水洼。",
        "水挡住了路，{h}想出办法，和{f}坐着{l}到了对岸。",
    )


@plot("冬天的粮食", "animal")
def winter_store(w: World) -> None:
    """One stores, one plays; then the snow."""
    w.scene(season="autumn", sky="sunny")
    w.hero("h")
    w.friend("f")
    w.put("x", STORES)
    while w.put("y", STORES) == w.put("x", STORES):
        pass
    w.put("p", "地洞 树洞 石洞 木屋 谷仓 山洞 草垛")
    bad = w.flag("坏结局", 0.3)
    w.tell(
        "{when}{f}忙着把{x}和{y}搬进{p}，{h}却在{*activity:games}。",
        "秋天到了，{f}每天收{x}，{h}每天睡懒觉。",
        "{when}{h}看见{f}背着{x}走过，笑{f}太傻。",
        "{f}说：“冬天快来了，要多存些{x}。”{h}却只想玩。",
        "{sky}，{f}在搬{x}，{h}躺在草地上晒太阳。",
    )
    w.more(
        "山坡上的果子红的红，黄的黄，风里都是香味。",
        "{f}从早忙到晚，背上的筐子一次比一次重。",
        "{h}在太阳下翻了个身，又睡着了。",
        "{f}把{p}打扫得干干净净，还铺上了软软的干草。",
    )
    w.tell(
        "<h.laugh 冬天还早着呢，急什么！>",
        "{h}今天{*activity:games}，明天{*activity:games}，一天又一天过去了。",
        "{f}劝{h}一起干，{h}说明天再说。",
        "{h}摘到{y}就吃掉，从来不往家里带。",
    )
    w.more(
        "{f}的脚都走疼了，可是{p.in}一天比一天满。",
        "天上的{*animal:migrant}排着队往南飞，{h}看也不看。",
        "树叶落光了，{h}还在落叶里打滚。",
    )
    w.tell(
        "没过多久，大雪下了三天三夜，什么吃的也找不到了。",
        "北风{*sound:wind}地刮，雪把一切都盖住了。",
        "冬天真的来了，{h}的家里空空的，冷得像冰一样。",
        "第一场雪落下来，{h}饿得睡不着觉。",
    )
    w.para()
    if bad:
        w.tell(
            "{h}在雪地里找了一整天，只找到一片枯叶。",
            "{h}敲了一家又一家的门，大家自己的粮食也不多。",
            "{h}又冷又饿，想起{f}的话，流下了眼泪。",
        )
        w.tell(
            "那个冬天，{h}天天饿肚子，后悔极了。",
            "最后，{h}瘦得皮包骨头，才熬到了春天。",
            "{h}离开了森林，谁也不知道它去了哪里。",
        )
        w.moral("work", probability=0.5)
        w.sum("{f}秋天忙着存{x}，{h}只顾着玩，到了冬天{h}挨饿受冻。")
        return
    w.tell(
        "{h}只好去敲{f}的门，{*mood:embarrassed.very}。",
        "<h.sorry 我错了，我现在才知道你为什么那么忙。>",
        "{f}听见门外有声音，打开门，看见{h}冻得直发抖。",
        "{h}又冷又饿，倒在了{f}的门口。",
    )
    w.tell(
        "{f}连忙把{h}拉进屋，端来{*food:soup,cookable.one}。",
        "<f.soft 快进来，{x}够我们一起吃的。>",
        "{f}把{x}和{y}分给了{h}一半。",
        "{f}什么也没说，给{h}生了火，盖上被子。",
    )
    w.tell(
        "第二年秋天，{h}比谁都勤快。",
        "春天一到，{h}就和{f}一起种起了{y}。",
        "从此，{h}再也不偷懒了。",
        "{h}答应，明年的{x}全由自己来搬。",
        "整个冬天，{h}教{f}唱歌，{f}教{h}过日子。",
    )
    w.more(
        "外面的雪还在下，屋里的火烧得旺旺的。",
        "{h}捧着热乎乎的饭，好久都说不出话来。",
        "{f}讲起秋天的事，{h}的脸红了。",
        "雪化的时候，{p.in}还剩下不少{y}。",
    )
    w.moral("work", probability=0.35)
    w.sum(
        "{h}不存粮食，冬天饿肚子，{f}帮助了{h}，{h}变得勤快了。",
        "{f}存了{x}，{h}只知道玩，冬天来了，{f}帮了又冷又饿的{h}。",
    )
