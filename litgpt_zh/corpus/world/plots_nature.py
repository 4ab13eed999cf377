"""Plots of growing and living things: seeds, birds, a snowman, fireflies."""

from __future__ import annotations

from litgpt_zh.corpus.world.engine import World, plot
from litgpt_zh.corpus.world.groups import land_heroes

#: What is sown: plants that grow from a seed within the year.
SEEDS = (
    "向日葵 太阳花 牵牛花 葫芦 丝瓜 黄瓜 西瓜 南瓜 冬瓜 玉米 豌豆 蚕豆 黄豆 绿豆 萝卜 白菜 菠菜 油菜 青菜 生菜 茄子 青椒 "
    "辣椒 棉花 高粱 小麦 胡萝卜 苦瓜 香瓜 花生 芹菜 蒲公英 凤仙花 鸡冠花"
)
#: A character of the names of those who sleep through the winter or fly south.
AWAY = frozenset("蛙龟猬熊蛇獾蜥壁燕雁鹤")
COVERS = "毛巾 手帕 围巾 毯子 毛毯 棉袄 丝巾 头巾 毛衣 外套 浴巾 披肩 棉被 小被子 帽子"


@plot("种种子")
def seed(w: World) -> None:
    """A seed is planted; the impatient dig it up, the patient see it bloom."""
    w.scene(season="spring", occasions="植树节")
    w.hero("h")
    w.friend("f")
    w.put("x", SEEDS)
    w.put("p", "院子 后院 花园 菜园 小院 花圃 花坛 菜地 农场 果园")
    dig = w.flag("坏结局", 0.2)
    w.tell(
        "{when}{h}和{f}在{p.in}[种下了|埋下了]{x}的种子。",
        "{when}{h}得到了一包{x}的种子，[小心地|马上]种在了{p.in}。",
        "{when}{f}送给{h}一颗{x}的种子，{h}把它种在了{p.in}。",
        "{when}{h}{*manner:handle}地挖了一个小坑，把{x}的种子放了进去。",
    )
    w.tell(
        "第二天，{h}跑去看，土里什么也没有。",
        "一天，两天，三天，{h}[天天去看|等啊等]，种子一动也不动。",
        "{h}每天都问：“你怎么还不发芽？”",
        "{h}眼巴巴地望着泥土，什么也没有等到。",
        "{h}[蹲在地上|趴在土边]看了半天，{*mood:impatient.very}。",
        "过了好几天，地里还是光秃秃的，{h}{*mood:impatient.very}。",
    )
    w.more(
        "{h}每天给它浇水，还给它讲故事。",
        "{*animal:insect,small,gentle.one}从土上爬过，{h}[轻轻地|小心地]把它请到一边。",
        "夜里下了一场小雨，泥土变得[又湿又软|香香的]。",
    )
    w.para()
    if dig:
        w.tell(
            "{h}等不及了，把土挖开来看。",
            "{h}急着要看，每天都把种子[翻出来|挖出来]瞧一瞧。",
            "<h.angry 我不等了！>{h}把种子挖了出来。",
        )
        w.more("{f}连忙拦住{h}，可是已经晚了。", "种子刚刚长出一点白白的根，被{h}碰断了。")
        w.tell(
            "种子刚长出的小芽断了，再也没有长大。",
            "几天后，{f}的{x}长出来了，{h}的种子却干死了。",
            "小小的嫩芽离开了土，很快就枯了，{h}后悔极了。",
        )
        w.moral("seed", "wait", probability=0.5)
        w.sum(
            "{h}种下{x}的种子，等不及就把它挖了出来，结果种子死了。",
            "{h}没有耐心，挖坏了刚发芽的{x}。",
        )
        return
    w.tell(
        "<f.soft 种子在土里睡觉，要慢慢等。>",
        "{f}说：“给它水和阳光，它会长大的。”",
        "{h}差点要把种子挖出来，{f}[连忙|赶紧]拦住了。",
        "{f}告诉{h}，种子也需要时间。",
    )
    w.some(
        "{h}{*manner:work}地浇水、拔草，一天也不[落下|偷懒]。",
        "太阳出来，{h}给它浇水；风来了，{h}给它搭架子。",
        "刮大风那天，{h}给它围上了小篱笆。",
    )
    w.tell(
        "[终于|有一天]，土里冒出了一点绿色！",
        "一场春雨过后，嫩嫩的小芽[钻了出来|伸出了头]。",
        "日子{*manner:bit}过去了，绿绿的小芽钻了出来。",
        "[半个月|十天]后，小芽[顶开泥土|探出了头]，绿得发亮。",
        "这天早上，{h}看见土里钻出了两片小叶子。",
    )
    w.tell(
        "过了些日子，{x}长得[又高又壮|好极了]，引来了{*animal:visitor.one}。",
        "{x}越长越高，{*idiom:content@h}。",
        "{h}看着一天天长大的{x}，高兴得忍不住{*action:glad}。",
        "{h}跑去告诉{f}，{duo}守着{x}看了又看。",
        "<h.glad 快看，它长出来了！>",
        "到了夏天，{p.in}的{x}长得真好，{h}和{f}天天去看。",
    )
    w.more("{h}把最好的种子收起来，[明年|来年]还要再种。", "路过的{*animal:bird,small,flies}停在旁边，唱起了歌。")
    w.moral("seed", probability=0.4)
    w.sum(
        "{h}种下{x}的种子，耐心照料，终于等到它发芽长大。",
        "{h}急着看种子发芽，{f}劝{h}耐心等待，最后{x}长出来了。",
    )


@plot("救小动物")
def rescue(w: World) -> None:
    """A small creature is hurt; it is nursed and set free, and returns."""
    w.hero("h")
    w.elder("e")
    w.pick("a", "animal", "bird", "small", "flies", "-sea", "-swims")
    w.put("x", COVERS)
    w.place("p", "stroll")
    w.tell(
        "{when}{h}在{p.in}发现了{a.one}，它的翅膀受伤了。",
        "{when}{h}听见草丛里有{a.cry}的声音，走近一看，是一只受伤的{a}。",
        "{when}{h}从{p.in}回家，看见{a.one}[躺在路边|掉在地上]，飞不起来了。",
        "大风过后，{h}在{p.in}捡到一只[发抖|受伤]的{a}。",
    )
    w.tell(
        "{h}{*manner:handle}地抱着它，一路走回家。",
        "{h}{*manner:handle}地把它[捧|抱]起来，用{x}包好。",
        "<h.soft 别怕，我会帮你的。>",
        "{h}{*mood:worried.very}，赶紧把它带回了家。",
        "{a}吓得[直叫|缩成一团]，{h}轻轻摸了摸它的头。",
        "{h}用{x}把{a}包好，带回了家。",
    )
    w.more(
        "{e}看了看，说翅膀折断了，要养好些日子才行。",
        "{sky}，{h}用手给{a}挡着风，生怕它着凉。",
    )
    w.para()
    w.tell(
        "{e}帮{h}给它[包好了伤口|敷了药]，放在一个[暖和的|铺着棉花的]小盒子里。",
        "{h&e.ta}用{x}给它做了一个窝。",
        "{h}每天喂它小米和水，[陪它说话|给它唱歌]。",
        "{h}{*manner:handle}地给它上药，喂它喝水。",
        "{e}教{h}怎样[喂食|换药]，{h}学得很用心。",
        "{h}把它放在{x}上，一夜没有睡好。",
    )
    w.some(
        "有一天，{a}忽然不吃东西了，{h}急得[直掉眼泪|坐立不安]。",
        "夜里{h}起来好几次，看看{a}[睡得好不好|冷不冷]。",
        "{h}连玩也不去了，天天守着它。",
    )
    sad = w.flag("坏结局", 0.1)
    if sad:
        w.tell(
            "可是{a}伤得太重，一天早上，它再也没有醒来。",
            "{h}想尽了办法，{a}还是静静地闭上了眼睛。",
        )
        w.tell(
            "{h}把它埋在{*plant:tree,climbable}下，[放上一朵花|哭了很久]。",
            "{h}哭了很久，在它睡着的地方种下了{*plant:flower,pot}。",
        )
        w.sum("{h}救了一只受伤的{a}，尽心照顾它，可它还是离开了。")
        return
    w.tell(
        "[十天|半个月]过去，{a}的伤好了，拍着翅膀要飞。",
        "[慢慢地|过了些日子]，{a}又能飞了。",
        "一天早上，{a}在屋里飞了一圈，{a.cry}地叫着。",
        "等它好了，{h}把小盒子捧到了窗边。",
    )
    w.tell(
        "{h}虽然舍不得，还是[打开窗|松开手]，让它飞走了。",
        "{a}在{h}头上绕了三圈，飞向了{*place:wild}。",
        "{*idiom:part@h}，看着{a}飞走了。",
        "{h}挥着手，看它飞得越来越高。",
        "{a}飞走了，{h}心里又高兴又舍不得。",
    )
    if w.flag("转折", 0.45):
        w.tell(
            "没想到第二年春天，窗外又响起{a.cry}的叫声，{a}带着一家子回来了！",
            "谁知第二天，{a}又飞回来，嘴里衔着{*nature:beak.one}，放在了{h}的窗台上。",
            "没想到，几天后{h}在{*place:wild.in}迷了路，正是{a}飞来，把{h}带回了家。",
        )
    w.more("从此，每天早上都有{a}在窗外唱歌。", "{h}把{x}留着，说不定哪天{a}还会回来。")
    w.moral("animals", "help", probability=0.3)
    w.sum(
        "{h}救了一只受伤的{a}，养好伤后把它放回了天空。",
        "{h}在{p.in}捡到受伤的{a}，和{e}一起治好了它，让它飞走了。",
    )


@plot("雪人")
def snowman(w: World) -> None:
    """A snowman is made a friend, and the sun comes."""
    w.scene(season="winter", sky="snowy", day="morning", occasions="新年 元旦 圣诞 寒假")
    if w.animals:
        w.folk = [animal for animal in land_heroes(w.lexicon) if not AWAY & set(animal.word)]
    w.hero("h")
    w.friend("f")
    w.folk = ()
    w.put("x", "围巾 丝巾 头巾 披肩 毛巾 纱巾 手帕")
    w.put("nose", "胡萝卜 红辣椒 玉米 松果 红萝卜")
    w.place("p", "yard")
    w.tell(
        "{when}{h}和{f}在{p.in}堆雪人。",
        "{when}{h}推开门，到处都是白的，{h.ta}叫来{f}堆雪人。",
        "{when}{h}和{f}滚了两个大雪球，堆成一个雪人。",
        "下雪了！{h}和{f}跑到{p.in}，堆起了雪人。",
    )
    w.tell(
        "{h&f.ta}用{nose}做鼻子，用{*nature:eyes.two}做眼睛。",
        "雪人有{nose}做的鼻子，头上还扣着{*thing:buckets.one}。",
        "{h}给它安上{nose}当鼻子，{f}给它画上嘴巴。",
        "{f}找来{nose}做鼻子，{h}折来两根树枝当手。",
    )
    w.more(
        "{h&f.ta}围着雪人{*action:romp}，冻红了脸也不肯回家。",
        "{h}还在雪人旁边[打雪仗|滚雪球|滑雪橇]，笑声传得老远。",
    )
    w.tell(
        "{h}怕雪人冷，把自己的{x}给它围上了。",
        "<h.soft 雪人，你冷不冷？>",
        "{h}每天都来和雪人说说话，把它当作好朋友。",
        "晚上，{h}隔着窗户向雪人道晚安。",
    )
    w.para()
    kind = w.choice("melt", "melt", "alive", "help")
    if kind == "melt":
        w.flag("坏结局")
        w.tell(
            "可是太阳出来了，雪人一点一点变小。",
            "[过了几天|谁知第二天]，天气暖和了，雪人开始化了。",
            "春天来了，雪人越来越瘦，{nose}也掉了下来。",
        )
        w.tell(
            "最后，地上只剩下{x}和{nose}，{h}{*mood:grief.very}。"
            if w.full
            else "最后，地上只剩下{nose}，{h}{*mood:grief.very}。",
            "{h}捡起湿湿的{nose}，哭了。",
            "{h}跑来时，雪人不见了，只有一摊水。",
        )
        w.tell(
            "<f.comfort 别难过，它变成水，流进了[小河|泥土]。>",
            "{f}说，雪人去了天上，明年冬天还会回来。",
            "第二年春天，那块地上开出了{*plant:flower,pot.one}。",
            "{h}对着天空挥手，等着下一个冬天。",
        )
        w.sum("{h}和{f}堆了一个雪人，太阳出来后雪人化了，{h}很难过。", "{h}很喜欢和{f}一起堆的雪人，可它最后融化了。")
    elif kind == "alive":
        w.flag("转折")
        w.tell(
            "没想到半夜里，雪人[眨了眨眼睛|动了起来]，向{h}招手！",
            "谁知{h}一觉醒来，看见雪人正在月光下跳舞。",
            "忽然，雪人开口说话了，{h}{*mood:surprised.very}。",
        )
        w.tell(
            "雪人带着{h}飞上夜空，看见了好多好多星星。",
            "雪人拉着{h}在雪地上滑呀滑，一直滑到山那边。",
            "{h}和雪人[打雪仗|滚雪球|滑雪橇]，一点也不冷。",
        )
        w.tell(
            "天亮了，雪人又站在原地，只是脖子上多了{x.one}。",
            "早上，{h}以为是梦，可是枕边放着一片不会化的雪花。",
            "醒来时，雪人还在窗外，好像在对{h}笑。",
        )
        w.sum("{h}和{f}堆的雪人在夜里活了，带着{h}玩了一个晚上。")
    else:
        w.flag("伏笔")
        w.tell(
            "几天后下起了大雪，{h}在回家路上[迷了路|看不清方向]。",
            "一个大雪天，{h}出门找{f}，四周白茫茫的，找不到家了。",
        )
        w.tell(
            "忽然，{h}看见远处有一点红色，正是雪人脖子上的{x}！",
            "就在这时，{h}看见了雪人的{nose}，[认出了方向|知道家就在旁边]。",
        )
        w.tell(
            "{h}朝着雪人走，平平安安回到了家。",
            "{h}朝着雪人跑，终于到了家，抱住雪人说了好多声谢谢。",
            "{h}顺着雪人的方向，很快找到了家门。",
        )
        w.sum("{h}和{f}堆了雪人，后来{h}在雪里迷路，靠着雪人找到了家。")
    w.more("窗上的冰花亮晶晶的，像是雪人写来的信。", "{h}画了一张雪人的画，贴在床头。")


@plot("放走萤火虫")
def release(w: World) -> None:
    """A pretty creature is caught and pines; letting it go gives more joy."""
    w.scene(season="summer", day="evening", sky="sunny")
    w.hero("h")
    w.elder("e")
    land = w.chance(0.7)
    if land:
        w.put(
            "a",
            "萤火虫 蝴蝶 蜻蜓 知了 瓢虫 蜗牛 蟋蟀 蝈蝈 红蜻蜓 花蝴蝶 金龟子 七星瓢虫 小蜗牛 螳螂 天牛 毛毛虫 蚱蜢 独角仙 白蝴蝶 甲虫 小瓢虫 蝉",
        )
        w.place("p", "stroll")
    else:
        w.put("a", "小鱼 蝌蚪 小青蛙 小虾 小螃蟹 小乌龟 泥鳅 小蝌蚪 螃蟹 田螺 小泥鳅 金鱼")
        w.put("p", "水边 河岸 溪边 河边 湖边 水塘 河滩 水渠 池塘 荷塘 岸边 海滩 沙滩")
    w.put("x", "玻璃瓶 小瓶子 许愿瓶 玻璃杯 杯子 茶杯 瓷碗 陶罐 漂流瓶 木碗 水桶" + ("" if land else " 鱼缸"))
    w.tell(
        "{when}{h}在{p.in}捉到了{a.one}。",
        "{when}{h}在{p.in}看见{a.one}，[悄悄走过去|踮起脚]，一下子捉住了它。",
        "{h}最喜欢{a}，{at}{h}在{p.in}捉到了{a.one}。",
        "{when}{p.in}有好多{a}，{h}捉了{a.one}。",
    )
    w.tell(
        "{h}把它放进{x.one}里，带回了家。",
        "{h}[高兴得不得了|得意极了]，用{x}装着它，拿给大家看。",
        "{h}拿{x.one}给它做家，放在床头。",
        "<h.glad 以后你就住在我家吧！>{h}把它放进了{x}。",
    )
    w.more(
        "{h}给{a}放了一片叶子，{a}看也不看一眼。",
        "{h}趴在桌上看着{a}，连{*food:cooked}也忘了吃。",
    )
    w.tell(
        "可是第二天，{a}[一动也不动|没精打采的]。",
        "过了一夜，{a}不[动|吃东西]了，缩在角落里。",
        "没过多久，{a}就越来越没力气了。",
        "{h}叫{a}，{a}不动；{h}敲{x}，{a}也不理。",
    )
    w.para()
    w.tell(
        "{h}{*mood:worried.very}，跑去问{e}。",
        "<h.ask {e.call}，它是不是病了？>",
        "{*idiom:baffled@h}，捧着{x}去问{e}。",
        "{h}急得[直掉眼泪|直跺脚]。",
        "{h}难过地看着{a}，[不知道|想不出]是怎么回事。",
    )
    w.tell(
        "<e.soft 它想家了，它的家在外面。>",
        "{e}说：“要是你被关起来，你会高兴吗？”",
        "{e}指指窗外，问{h}想不想自己的家。",
        "{e}轻轻地说，[它的妈妈一定在找它呢|谁也不愿意离开自己的家]。",
    )
    bad = w.flag("坏结局", 0.12)
    if bad:
        w.tell("{h}舍不得，想再留一天，可是第二天，{a}再也不动了。", "{h}犹豫了一夜，等{h}想放它走时，已经太晚了。")
        w.tell("{h}哭了，把它埋在花下，后悔极了。", "{h}抱着空空的{x}，{*mood:downcast.very}。")
        w.moral("animals", probability=0.5)
        w.sum("{h}捉了{a}关在{x}里，没有及时放走，它再也没有醒来，{h}很后悔。")
        return
    w.tell(
        "{h}捧着{x}回到{p.in}，把它放了。",
        "{h}想了一夜，第二天打开了{x}。",
        "{h}虽然舍不得，还是{*manner:handle}地把它放回了原来的地方。",
        "<h.soft 去吧，回家去吧。>",
    )
    w.tell(
        "{a}在{h}身边[转了一圈|停了一会儿]，才慢慢离开。",
        "{a}动了动，很快不见了，{h}的心里却{*mood:glad.very}。",
        "{h}挥挥手，觉得自由自在的{a}才最美。",
        "后来，{h}常常来{p.in}看它们，再也不捉了。",
    )
    if land and w.flag("转折", 0.3):
        w.tell(
            "没想到第二天晚上，窗外来了好多好多{a}，像是来道谢的。",
            "谁知几天后，{h}的窗台上停着{a.few}，像老朋友一样。",
        )
    w.more("{h}把空了的{x}洗干净，种上了{*plant:grass,pot.one}。", "夜风吹来，{h}睡得特别香。")
    w.moral("animals", probability=0.35)
    w.sum(
        "{h}把{a}关在{x}里，看它没精神，就把它放回了大自然。",
        "{h}捉了{a}，听了{e}的话，明白它想家，就放走了它。",
    )
