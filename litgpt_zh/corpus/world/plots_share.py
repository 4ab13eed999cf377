"""Plots of sharing: food, toys, presents, shelter."""

from __future__ import annotations

from litgpt_zh.corpus.world.engine import World, plot

#: What is made by another verb than 做.
MADE = {
    **dict.fromkeys("画 画像 年画 地图 海报 明信片 全家福".split(), "画"),
    **dict.fromkeys("毛衣 围巾 手套 披肩 渔网".split(), "织"),
    **dict.fromkeys("刺绣 锦旗".split(), "绣"),
    **dict.fromkeys("春联 对联".split(), "写"),
    "剪纸": "剪",
    "千纸鹤": "折",
    "纸飞机": "折",
    "竹篮": "编",
    "草帽": "编",
    "草鞋": "编",
    "篮子": "编",
    "花篮": "编",
    "花冠": "编",
    "斗笠": "编",
}
NOT_MADE = frozenset(
    "信 感谢信 礼物 礼盒 礼品袋 请柬 海报 图纸 名片 藏宝图 字画 纸条 邮票 地图 铃铛 枕头 棉被 木箱 竹椅 雪橇 秋千".split()
)


@plot("分享食物")
def share_food(w: World) -> None:
    """One has food, another is hungry; a bite shared comes back later."""
    w.hero("h")
    w.friend("f")
    while w.pick("x", "food", "shareable", "-drink", "-soup").measure in ("颗", "杯", "瓶", "朵", "碗"):
        pass
    w.place("p", "stroll")
    stingy = w.flag("坏结局", 0.15)
    w.tell(
        "{when}{h}得到了{x.onea}，{*action:trot}地来到{p.in}。",
        "妈妈给了{h}{x.onea}，{h}舍不得马上吃，带着它来到{p.in}。",
        "{when}{h}坐在{p.in}，正要吃{x.onea}。",
        "{when}{h}拿着{x.onea}在{p.in}[慢慢走|歇脚]。",
        "{when}{h}捧着{x.onea}，在{p.in}坐了下来。",
    )
    w.more(
        "{sky}，{h}[咽了咽口水|深深吸了一口香气]。",
        "这是{h}盼了好久的{x}，[一路上|早就]想着那好味道。",
    )
    w.tell(
        "{*idiom:hungry@f}，[正好走了过来|眼睛盯着{h}手里的{x}]。",
        "这时，{f}走了过来，肚子饿得[咕咕叫|直响]。",
        "{f}从旁边经过，[眼巴巴地看着|忍不住{*action:crave}]。",
        "<f.sad 我的{*food:snack,-drink}掉进水里了，我还饿着呢。>",
        "可是{h}看见{f}有气无力的样子，原来{f}[还没吃饭|什么吃的也没带]。",
        "{f}独自坐在一边，[闻到香味抬起了头|偷偷看着{h}手里的{x}]。",
    )
    if stingy:
        w.tell(
            "{h}转过身去，[三口两口|大口大口地]把{x}全吃了。",
            "<h.proud 这是我的，谁也不给！>",
            "{h}把{x}藏到背后，说自己什么也没有，等{f}走了才吃。",
        )
        w.para()
        w.more(
            "{f}什么也没说，{*manner:leave}地走开了。",
            "{h}吃得太急，连是什么味道都没尝出来。",
        )
        w.tell(
            "没过多久，{h}的肚子疼了起来，旁边却一个朋友也没有。",
            "第二天，{h}饿着肚子，可是谁也不愿意[理|帮]{h}。",
            "后来大家一起{*activity:games}，没有谁来叫{h}，{h}[孤零零地坐着|后悔极了]。",
        )
        w.moral("selfish", probability=0.5)
        w.sum(
            "{h}不肯把{x}分给饿肚子的{f}，最后自己尝到了没有朋友的滋味。",
            "{f}饿了，{h}却独自吃光了{x}，结果谁也不愿意理{h}。",
        )
        return
    w.more(
        "{h}心里有点[犹豫|舍不得]：分出去一半，自己就只剩一半了。",
        "{h}看看{x}，又看看{f}，[想了好一会儿|咬了咬嘴唇]。",
    )
    w.para()
    w.tell(
        "{h}[想了想|二话没说]，把{x}分成两份，大的给了{f}。",
        "<h.glad 我们一起吃吧，[分着吃才香|你一半，我一半]！>",
        "{h}{*manner:willing}地分出一半，递给了{f}。",
        "“给你，尝尝我的{x}。”{h}[伸出手|笑着]说。",
        "{h}拍拍身边的空地，请{f}坐下来一起吃{x}。",
    )
    w.tell(
        "{*idiom:moved@f}，两个朋友吃得[又香又甜|开心极了]。",
        "{*idiom:feast@f}。",
        "{f}吃得[满嘴都是|真香]，{*mood:glad.very}。",
        "<f.glad 这是我吃过的最好吃的{x}！>",
        "{f}吃在嘴里，心里{*mood:sweet.very}。",
        "{f}接过来咬了一口，[眼睛都亮了|脸上笑开了花]。",
    )
    w.more(
        "{h&f.ta}一边吃一边[讲笑话|说着开心的事]，[笑声传得很远|不知不觉太阳都偏西了]。",
        "一只{*animal:bird,small,flies}飞下来，{h&f.ta}也分给它一点碎渣。",
    )
    w.para()
    payback = w.flag("伏笔", 0.35) if w.full else w.flag("转折", 0.3)
    if payback:
        w.tell(
            "过了几天，{h}[忘了带午饭|没有东西吃]，{f}[马上|连忙]把自己的{*food:bread,shareable}分了一大半过来。",
            "没想到第二天，{f}带来了{*food:cake,shareable.one}，非要分给{h}不可。",
            "谁知道几天以后，{h}遇到了麻烦，第一个跑来帮忙的就是{f}。",
        )
    else:
        w.tell(
            "{h&f.ta}一边吃，一边{*action:munch}。",
            "吃完后，{h&f.ta}一起{*activity:games}，玩了[整整一天|好久]。",
            "从那以后，{h}和{f}成了[最好的朋友|天天见面的好朋友]。",
            "{h}觉得，分着吃的{x}[更甜|比什么都好吃]。",
            "{f}说，下次也要请{h}吃{*food:candy,shareable}。",
        )
    w.moral("share", probability=0.35)
    w.sum(
        "{h}把自己的{x}分给了饿着肚子的{f}，{duo}成了好朋友。",
        "{h}遇到饥饿的{f}，和{f}一起分享了{x}。",
    )


@plot("争玩具")
def quarrel(w: World) -> None:
    """Two want the same toy, it comes to blows or damage; they make peace."""
    w.hero("h")
    w.friend("f")
    w.elder("e")
    while w.pick("x", "thing", "toy", "losable", "-fragile", "-tool").measure in ("颗", "套", "副", "张"):
        pass
    w.place("p", "play")
    w.flag("冲突")
    w.tell(
        "{when}{h}和{f}在{p.in}发现了{x.onea}。",
        "{when}{h}和{f}在{p.in}玩，{duo}都想要{x.onea}。",
        "{h}和{f}本来是好朋友，{at}却为了{x.onea}吵了起来。",
        "{e}送来{x.onea}，{h}和{f}都[抢着要|伸手去拿]。",
        "{when}{p.in}只有{x.one}，{h}想玩，{f}也想玩。",
        "{when}{p.in}放着{x.onea}，{*idiom:runto@h}，{f}也跑了过来，都想先玩。",
    )
    w.tell(
        "“[是我先看见的|应该我先玩]！”{h}大声说。“[是我先拿到的|不，我先玩]！”{f}也不肯让。",
        "{*idiom:stormin@f}，一把抢走了{x}，{h}又抢了回来。",
        "{h}抓住{x}不放，{f}也抓住不放，谁也不松手。",
        "{h}[推了{f}一下|一把抢了过去]，{f}{*mood:angry.very}，又抢了回来。",
        "<h.angry 给我，给我！><f.angry 不给，就不给！>",
        "{*idiom:angry@h}，{f}也[气红了脸|不肯让步]。",
    )
    w.more(
        "旁边的{*animal:bird,small,flies}吓得飞走了，{p.in}只听见{h&f}的[吵|叫]声。",
        "{duo}越吵越凶，[脸都红了|谁的话也不听]。",
    )
    w.para()
    # What is round or only bounces is not broken by a fall.
    broke = w.slot("x").has("fixable", "-round") and w.flag("坏结局", 0.4)
    w.tell(
        "抢来抢去，只听{x.crash}一声，{x}掉在地上。",
        "拉来拉去，{x}[掉进了泥里|掉在了地上]。",
        "[谁也没注意|忽然]，{x}从{h&f.ta}手里滑了下去。",
    )
    if broke:
        w.tell(
            "{x}摔坏了，再也不能玩了，{h&f}都[哭了|愣住了]。",
            "好好的{x}弄坏了，这下谁也玩不成了。",
            "{x}坏了，{h}怪{f}，{f}怪{h}，两个朋友从此不说话了。",
        )
        w.more(
            "天黑了，{h}独自回了家，{*mood:lonely.very}。",
            "{e}看着[坏掉的|地上的]{x}，轻轻地摇了摇头。",
        )
        w.moral("turns", probability=0.5)
        w.sum(
            "{h}和{f}争抢{x}，谁也不让，最后把它弄坏了。",
            "为了{x}，{h}和{f}吵了一架，{x}也弄坏了。",
        )
        return
    w.tell(
        "{e}走过来说：“轮流玩，不就都能玩了吗？”",
        "<e.soft 你们两个都想玩，为什么不一起玩呢？>",
        "{e}走了过来，声音{*mood:soothing.very}，让{h&f}轮流玩。",
        "{e}捡起{x}，让{h&f}好好想一想，是玩具重要，还是朋友重要。",
        "{h}看见{f}哭了，[心里一软|忽然后悔了]，把{x}递了过去。",
        "{h&f.ta}你看看我，我看看你，都[不好意思地笑了|{*mood:embarrassed.very}]。",
    )
    w.some(
        "{h}先[低下了头|开口]，说了声对不起。",
        "<h.sorry 对不起，我不该抢。><f.sorry 我也不好。>",
        "{f}擦干眼泪，伸出了[小拇指|手]。" if not w.animals else "{f}擦干眼泪，往{h}身边靠了靠。",
    )
    w.tell(
        "从此，{*idiom:friends@h}，再也不争了。",
        "{h&f.ta}玩得满头是汗，[笑声传得很远|一次也没有再吵]。",
        "{h&f.ta}{*action:friends}，又成了好朋友。" if not w.animals else "{h&f.ta}抱在一起，又成了好朋友。",
        "{h&f.ta}商量好，一个玩一会儿，[真的|果然]都玩得很开心。",
        "{h}先让{f}玩，{f}也把{x}让给{h}，谁都[不争|不吵]了。",
        "最后，{h&f}想出了[新玩法|一个好办法]，一起玩{x}。",
        "从此，{h}天天和{f}一起玩{x}，[再也没有抢过|谁都说这样更有趣]。",
    )
    w.more(
        "太阳下山了，{h&f.ta}还[舍不得分开|约好明天再来]。",
        "{h}还拿出{*food:candy,shareable.two}，分给{f}一半。",
    )
    w.moral("turns", probability=0.4)
    w.sum(
        "{h}和{f}为了{x}吵架，后来学会了轮流玩，又和好了。",
        "{h}和{f}都想玩{x}，争了起来，最后一起玩得很开心。",
    )


@plot("亲手做的礼物")
def gift(w: World) -> None:
    """No money for a present; a hand-made one, or a twist of two presents, is the best."""
    w.hero("h")
    w.elder("e")
    while w.pick("x", "thing", "makeable", "gift", "-fragile", "-treasure").word in NOT_MADE:
        pass
    w.let("do", MADE.get(w.slot("x").word, "做"))
    w.pick("y", "thing", "gift", "sale", "losable", "-makeable")
    w.let("day", "[明天|过几天|后天]就是{e}的生日", "{e}快过生日了", "{e}的生日到了")
    w.tell(
        "{day}，{h}想送一件礼物。",
        "{day}，可是{h}没有钱买礼物。",
        "{when}{h}想起{e}的生日快到了，心里[盘算起来|又高兴又发愁]。",
        "{h}在{*place:shop.in}看中了{y.one}，想送给过生日的{e}。",
        "{day}，{h}打开存钱罐，里面只有几[个硬币|块钱]。",
    )
    w.tell(
        "可是看来看去，好看的礼物都太{*adj:costly}了，{h}买不起。",
        "{h}数来数去，钱[还差一大截|不够]，{*mood:torn.very}。",
        "[买什么|送什么]好呢？{*idiom:think@h}。",
        "买吧，钱不够；不买吧，心里又过不去，{*idiom:torn@h}。",
        "{h}想了很久，{*mood:torn.very}。",
        "<h.worry 我拿什么送给{e.call}呢？>",
    )
    w.para()
    w.tell(
        "{h}决定自己动手，{do}{x.onea}。",
        "[忽然|最后]，{h}有了主意：自己{do}{x.one}！",
        "于是{h}找来材料，{*manner:craft}地{do}{x}。",
        "{h}把材料摆得{*manner:neat}，动手{do}{x}。",
        "{h}先想好样子，再{*manner:craft}地{do}{x}。",
        "{h}躲在屋里，[偷偷|悄悄]地{do}{x}。",
    )
    w.some(
        "第一次没有{do}好，{h}又从头再来，手都[酸|红]了。",
        "{h}忘了玩，忘了吃饭，一直忙到[天黑|很晚]。",
        "{h}还用{*plant:flower.few}和{*thing:trimming}来装饰。",
        "第一次{do}得[歪歪扭扭|很难看]，{h}没有灰心，又{do}了一次。",
    )
    w.more(
        "{e}问{h}在忙什么，{h}赶紧把{x}[藏到背后|塞进被子里]。",
        "窗外{*sound:rain}地下着雨，{h}一点也没听见。"
        if w.now.sky == "rainy"
        else "窗外有小伙伴叫{h}去{*activity:games}，{h}[摇摇头|没有去]。",
    )
    w.tell(
        "生日那天，{h}把{x}送给了{e}。",
        "到了那天，{h}[红着脸|不好意思地]捧出了{x}。",
        "<h.glad 生日快乐！这是我自己{do}的{x}。>",
        "{e}生日那天，看见了{h}亲手{do}的{x}。",
    )
    if w.flag("转折", 0.25):
        w.tell(
            "{e}也拿出一个盒子，里面竟然是{y}，原来{e}早就给{h}准备了礼物！",
            "没想到{e}悄悄抹起了眼泪，原来{e}小时候，也给自己的妈妈{do}过{x.one}。",
            "谁知{e}从柜子里取出一模一样的{x.one}，那是自己小时候{do}的。",
        )
    else:
        w.tell(
            "{e}[高兴|感动]得[说不出话|眼睛都湿了]，一把抱住了{h}。",
            "{*idiom:goodnews@e}，捧着{x}舍不得放下。",
            "{e}{*mood:eased.very}，眼睛都湿了。",
            "<e.glad 这是我收到的最好的礼物！>",
            "{e}的心里充满了{*mood:brimming}，把{x}[摆在最显眼的地方|看了又看]。",
            "{*idiom:moved@e}，{*manner:hold}地握住了{h}的手。",
            "{e}夸个不停，{h}觉得{*mood:honoured.very}。",
            "{e}把{x}放在[床头|窗台上]，天天都要看一看。",
        )
    w.more(
        "大家一起吃了{*food:cake}，唱了[生日歌|好多歌]。",
        "那天晚上，屋子里飘着{*food:cooked}的香味，大家都{*mood:glad.very}。",
    )
    w.moral("thanks" if w.animals else "kin", probability=0.35)
    w.sum(
        "{e}过生日，{h}亲手{do}了{x}当礼物，{e}非常喜欢。",
        "{e}过生日，{h}送上了自己{do}的{x}。",
    )


@plot("躲雨")
def shelter(w: World) -> None:
    """Rain; one cover is shared by more and more."""
    w.scene(season="summer", sky="rainy", day="afternoon")
    w.hero("h")
    w.friend("f")
    w.friend("g")
    w.put("x", "雨伞 大荷叶 芭蕉叶 雨衣 油纸伞 斗篷 大纸箱")
    w.place("p", "stroll")
    w.tell(
        "{h}在{p.in}{*activity:solo}，忽然[下起了大雨|雨点落了下来]。",
        "{h}走到{p.in}，天上{*sound:thunder}一响，下起雨来。",
        "天上乌云滚滚，{h}刚走到{p.in}，雨就{*sound:rain}地下起来了。",
        "{when}{h}走在路上，雨越下越大。",
    )
    w.tell(
        "幸好{h}带着{x}，[一点也没淋湿|身上干干的]。",
        "{h}赶紧举起{x}。",
        "{h}找到了{x}，躲在下面，雨水淋不着了。",
    )
    w.tell(
        "{f}没有东西挡雨，[淋得像落汤鸡|浑身都湿了]。",
        "{*idiom:blown@f}，好不容易跑到了{h}面前。",
        "这时，{f}跑过来，{*idiom:soaked}。",
        "<f.worry 雨太大了，我可以躲一躲吗？>",
        "{h}看见{f}在雨里跑来跑去，找不到躲的地方。",
    )
    fight = w.flag("冲突", 0.25)
    if fight:
        w.tell(
            "“不行，太挤了！”{h}说。{f}低下头，站在雨里。",
            "{h}不肯让地方，{f}只好站在雨里。",
            "{h}怕挤，把{f}推了出去，{duo}吵了起来。",
        )
        w.tell(
            "可是{h}看见{f}冻得直发抖，{*mood:embarrassed.very}，把{f}拉了进来。",
            "过了一会儿，{h}心软了，朝{f}招了招手。",
        )
    else:
        w.tell(
            "<h.shout 快进来，我们一起躲！>",
            "{h}{*manner:willing}地让出了一半地方。",
            "{h}往旁边挪了挪，让{f}也进来了。",
        )
    w.para()
    w.tell(
        "不一会儿，{g}也来了，{h&f.ta}[挤了挤|又让了让]，三个紧紧靠在一起。",
        "接着{g}也跑来了，地方虽然小，大家挤在一起，反而更暖和。",
        "{g}淋着雨跑过来，{h&f.ta}一起把{g}拉了进来。",
    )
    w.more(
        "雨{*sound:rain}地敲着，大家一起唱歌，一点也不害怕。",
        "天上闪过一道闪电，{g}吓得捂住耳朵，{f}轻轻拍着{g}的背。",
        "{h}从口袋里摸出{*food:candy,shareable.few}，大家分着吃了。",
    )
    if w.flag("转折", 0.3):
        w.tell(
            "没想到一阵大风吹来，要不是三个一起抓紧，{x}早就被吹跑了。",
            "谁知雨越下越大，水漫了上来，大家[一个挨着一个|紧紧靠在一起]，才走到了高处。",
        )
    w.tell(
        "雨停了，天边出现了一道彩虹。",
        "雨过天晴，[路边|草叶上]的水珠亮晶晶的。",
        "[终于|不知过了多久]，太阳出来了，彩虹挂在天上。",
    )
    w.tell(
        "从此，{h}、{f}和{g}成了最好的朋友。",
        "从此，{*idiom:friends@h}。",
        "{h&f&g.ta}踩着水坑，一路笑着回家。",
        "<g.glad 谢谢你们，有朋友真好！>",
        "{h}虽然湿了半边身子，心里却{*mood:glad.very}。",
    )
    w.moral("share", "team", probability=0.3)
    w.sum(
        "下雨了，{h}用{x}和{f}、{g}一起躲雨，三个成了好朋友。",
        "{h}叫{f}和{g}来{x}下面躲雨，三个成了好朋友。",
    )
