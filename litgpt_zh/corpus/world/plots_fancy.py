"""Plots of fancy: a map, a wish, a magic brush."""

from __future__ import annotations

from litgpt_zh.corpus.world.engine import World, plot


@plot("藏宝图")
def treasure_map(w: World) -> None:
    """A map leads to a treasure that is not what was hoped for."""
    w.hero("h")
    w.friend("f")
    w.put("p", "大山 森林 山洞 小岛 沙漠 山谷 竹林 沙滩 海岛 城堡 峡谷 老城 山顶 古镇 地洞 石洞 草原 谷仓")
    w.put("c", "木箱 铁盒 木盒 铁桶 茶叶罐 首饰盒 宝箱 百宝箱 陶罐 木桶 箱子 盒子 铁罐")
    w.put(
        "guard",
        "一条大河 一片沼泽 一座独木桥 一道高墙 一个黑黑的山洞 一片浓雾 一个陡坡 一扇生锈的铁门 一片荆棘 一条深沟",
    )
    w.pick("m", "thing", "book")
    hint = w.flag("伏笔", 0.3)
    w.tell(
        "{when}{h}在{m}里发现了一张藏宝图。",
        "{when}一阵风吹来一张旧纸，{h}一看，竟是藏宝图！",
        "{h}和{f}捡到一个瓶子，里面有一张藏宝图。",
        "<h.shout 快看，我找到一张藏宝图！>",
        "{when}{h}翻开{m.one}，掉出来一张藏宝图。",
    )
    w.tell(
        "图上画着{p}，还有一个红红的叉，{h}叫上{f}马上{*action:go}了。",
        "图上画着{p}，{h&f.ta}顺着图找了过去。",
        "图上说，宝贝藏在{p.in}，{*idiom:setout@h}。",
        "图上说，宝贝藏在{p.in}，{h}叫上{f}出发了。",
        "图上画着{p}，{h&f.ta}看了又看，{*mood:longing.very}。",
        "{h}叫上{f}，带着铲子和{*food:bread}向{p}出发了。",
    )
    if hint:
        w.tell("图的背面还有一行小字：宝贝要分着用。", "图上的字很奇怪：要两个好朋友才能打开。")
    w.tell(
        "路上有{guard}，{f}[不敢走|想回家]，{h}拉住了{f}。",
        "{guard}挡住了去路，{h&f.ta}{*manner:tread}地过去了。",
        "{*idiom:bold@h}，带着{f}走过了{guard}。",
        "{*idiom:hot@h}，前面又是{guard}，{h&f.ta}想了好久才过去。",
        "{h&f.ta}走了很久，{*mood:tired.very}，可还是走过了{guard}。",
        "走到{guard}前面，{h}停了下来。<f.say 别怕，一起走！>",
    )
    w.more(
        "{*idiom:eerie@h}，可是谁也没有回头。",
        "半路上，{h&f.ta}坐下来休息，[吃|分]了{*food:snack,shareable,-drink.one}。",
        "走呀走，{h}的鞋都磨破了。" if not w.animals else "走呀走，{h}的脚都走疼了。",
        "远处传来{*sound:eerie}的声音，{f}紧紧抓住{h}不放。",
    )
    w.para()
    w.tell(
        "终于，{h&f.ta}在红叉的地方挖出了{c.one}。",
        "挖呀挖，铲子碰到了硬东西，是{c.one}！",
        "{h&f.ta}搬开石头，下面有{c.one}。",
        "红叉的地方，果然埋着{c.one}。",
    )
    kind = w.choice("old", "seeds", "note", "real")
    if kind == "real":
        w.tell(
            "打开一看，里面有{*thing:treasure,shiny.one}，[亮得睁不开眼|闪闪发光]！",
            "里面装满了{*nature:hoard}，{h&f.ta}{*mood:surprised.very}。",
        )
        w.tell(
            "{h&f.ta}把宝贝送给了博物馆，大家都来看。" if not w.animals else "{h&f.ta}把宝贝分给了大家，每家都有一份。",
            "{h}和{f}把宝贝平分了，{*idiom:loaded@h}。",
        )
        w.sum("{h}和{f}按照藏宝图，在{p}找到了宝贝。")
    else:
        w.flag("转折")
        what = {
            "old": (
                "可是里面没有金子，只有几件旧玩具，是从前的孩子留下的。",
                "打开一看，里面是{*thing:trinket.one}和{*thing:book.one}，是从前的孩子留下的。",
            ),
            "seeds": (
                "没想到，里面没有珠宝，只有一包种子。",
                "打开一看，竟然是一把种子，还有一句话：种下去，就会有宝贝。",
            ),
            "note": (
                "可是里面是空的，只有一张纸条：“一路上陪你的朋友，就是宝贝。”",
                "打开一看，里面只有一面镜子，照出了两张笑脸。",
            ),
        }[kind]
        w.tell(*what)
        end = {
            "old": (
                "{h&f.ta}也放进去一样玩具，又把它埋好，等着以后的孩子。",
                "{h&f.ta}坐在那里玩了整整一天，{*mood:glad.very}。",
            ),
            "seeds": (
                "{h&f.ta}把种子种下，第二年，家门口开满了{*plant:flower,pot}。",
                "春天，种子长成了{*plant:tree,bears.one}，大家都有果子吃了。",
            ),
            "note": (
                "{h}看看{f}，{f}看看{h}，都笑了。",
                "{*idiom:realise@h}，最好的宝贝就是身边的朋友。",
                "{h&f.ta}肩并着肩回家，{*mood:glad.very}。",
            ),
        }[kind]
        w.tell(*end)
        w.sum(
            "{h}和{f}跟着藏宝图来到{p}，找到的宝贝却和想的不一样。",
            "{h}和{f}去{p}寻宝，挖出{c}，里面的东西让大家很意外。",
        )
    w.more("后来，{h}把藏宝图挂在墙上，天天看着它。", "<h.say 下次我们还去探险！><f.answer 好，一言为定！>")
    w.moral("friends", "curious", probability=0.3)


@plot("愿望")
def wish(w: World) -> None:
    """A wish granted to the letter is a trouble; the last wish undoes it."""
    w.hero("h")
    w.put(
        "g",
        "小仙女 花仙子 老神仙 会说话的金鱼 小精灵 月亮婆婆 会说话的青蛙 白胡子老爷爷 美人鱼 风婆婆 仙鹤",
    )
    w.place("p", "stroll")
    magic = w.tell_slot("g", "") in ("小仙女", "老神仙", "小精灵", "白胡子老爷爷")
    kind = w.choice("food", "thing", "many", "animal")
    if kind == "food":
        w.pick("x", "food", "snack", "-drink")
        want, bad = w.choice(
            ("把东西都变成{x}", "床是{x}，椅子也是{x}，连书都变成了{x}"),
            ("要好多好多{x}", "屋里堆满了{x}，连门都打不开"),
            ("天天吃{x}", "吃什么都是{x}的味道"),
        )
    elif kind == "thing":
        w.pick("x", "thing", "toy", "losable")
        want, bad = w.choice(
            ("要一屋子{x}", "屋里屋外全是{x}，连站的地方都没有"),
            ("要世界上所有的{x}", "{x}堆成了山，连路都走不通了"),
            ("要许许多多{x}", "{x}太多了，走一步摔一跤"),
        )
    elif kind == "many":
        want, bad = w.choice(
            ("永远不用睡觉", "大家都睡了，只剩{h}醒着，{h}困得浑身{*mood:limp}"),
            ("什么也不干，天天玩", "大家都忙着，谁也不来和{h}玩了"),
            ("永远不长大", "朋友们都长高了，只有{h}还是那么小"),
            ("让时间停下来", "谁也不动，谁也不说话，四周静得可怕"),
            ("变得像山一样高", "{h}再也进不了自己的家门"),
        )
    else:
        w.pick("x", "animal", w.choice("bird", "sea", "insect", "fierce"))
        want = "变成{x.one}"
        bad = w.choice(
            "妈妈认不出{h}了",
            "好朋友看见{h}都跑开了",
            "{h}想说话，却只能发出怪声",
            "{h}回不了自己的家，只好在外面过夜",
        )
    w.let("want", want)
    w.let("bad", bad)
    w.tell(
        "{when}{h}在{p.in}救了{g}，{g}答应帮{h}实现一个愿望。",
        "{when}{h}遇见了{g}，{g}让{h}许一个愿。",
        "{when}{g}出现在{h}面前，问{h}有什么愿望。",
        "“好孩子，你可以许一个愿望。”{g}对{h}说。",
        "{h}捡到一盏旧灯，擦了擦，{g}就出来了。" if magic else "{when}{h}在{p.in}遇见了{g}，{g}说可以许一个愿。",
    )
    w.tell(
        "{h}想也没想，就说想{want}。",
        "<h.glad 我的愿望是{want}！>",
        "{h}的愿望是{want}。",
        "{h}眼睛一亮，[张口就说|马上说]想{want}。",
        "{h}{*manner:mystery}地说出了愿望：{want}。",
        "{h}早就想好了：{want}！",
    )
    w.more(
        "{g}问：“你真的想好了吗？”{h}[使劲点头|连连点头]。",
        "{g}笑了笑，[吹了一口气|挥了挥手]，一道金光闪过。",
        "{h}等得心都要跳出来了。",
    )
    w.tell(
        "一转眼，愿望真的实现了，{h}{*mood:glad.very}。",
        "{*sound:dash}的一声，愿望就实现了！",
        "第二天早上，{h}睁开眼睛，愿望真的实现了。",
        "{g}点点头，愿望马上成了真，{*idiom:glad@h}。",
    )
    w.flag("转折")
    w.more(
        "{h}做梦也没有想到，真的会有这样的好事。",
        "消息传开了，大家都跑来看，羡慕极了。",
        "{h}把这个愿望想了很久很久，今天终于能说出来了。",
        "天边闪过一点亮光，一下子就不见了。",
    )
    w.para()
    w.tell(
        "可是没过多久，{bad}。",
        "谁知道，{bad}。",
        "开始很有趣，后来{bad}。",
        "没想到过了几天，{bad}。",
    )
    w.tell(
        "{h}{*mood:regretful.very}，[再也笑不出来|真想回到从前]。",
        "{*idiom:regret@h}。",
        "<h.cry 我不要这个愿望了！>",
        "{h}{*mood:lonely.very}，想起了从前的日子。"
        if kind in ("many", "animal")
        else "{h}想起了从前的日子，{*mood:regretful.very}。",
    )
    if w.flag("坏结局", 0.2):
        w.tell(
            "可是{g}再也没有出现，{h}只能这样过下去。",
            "{h}找了很多地方，再也找不到{g}了。",
            "{g}摇摇头说，愿望只有一个，再也变不回来了。",
        )
        w.sum("{h}向{g}许愿，想{want}，愿望实现后却非常后悔。")
    else:
        w.tell(
            "{h}找到{g}，求{g}收回愿望。",
            "{g}又来了，{h}连忙请{g}把一切变回原样。",
            "{h}哭着睡着了，醒来一看，一切又变回了原样。",
            "{g}听见了，轻轻一挥手，一切都恢复了原样。",
        )
        w.tell(
            "{h}看着自己的家，觉得什么都是好的。",
            "{*idiom:relief@h}，再也不乱许愿了。",
            "从此，{h}最爱的就是平平常常的日子。",
            "{h}抱住妈妈，[好久都不放开|怎么也不松手]。",
        )
        w.sum("{h}的愿望是{want}，实现以后却惹来麻烦，最后一切变回了原样。")
        w.more(
            "{h}常常想起这件事，好像做了一场梦。",
            "后来，朋友问{h}还有什么愿望，{h}笑着摇了摇头。",
            "那天的饭，{h}吃得特别香。",
            "{h}推开窗，深深地吸了一口气。",
        )
    w.moral("enough", probability=0.35)


@plot("神奇的画笔")
def brush(w: World) -> None:
    """What is drawn comes alive; a wild drawing makes trouble, a clever one mends it."""
    w.hero("h")
    w.friend("f")
    w.put("b", "画笔 毛笔 蜡笔 粉笔 铅笔 彩笔 水彩笔 钢笔 彩色铅笔 羽毛笔 记号笔")
    w.pick("x", "food", "-drink")
    w.pick("y", "animal", "big", "runs", w.choice("-farm", "fierce"))
    w.pick("z", "animal", w.choice("small", "bird", "insect", "sea"))
    w.pick("v", "plant")
    w.pick("n", "nature", "drawn")
    w.pick("t", "thing", w.choice("toy", "clothes", "container", "book"))
    w.tell(
        "{when}{h}得到了一支神奇的{b}，画什么就有什么。",
        "{h}有一支{b}，{at}{h}画了{z.one}，它竟然从纸上跳了下来！",
        "{when}一位老人送给{h}一支{b}，说它有魔力。" if not w.animals else "{when}老山羊送给{h}一支{b}，说它有魔力。",
        "{when}{h}用捡来的{b}画{v}，眼前真的出现了{v.one}。",
        "<h.shout 快看，我的{b}会变魔术！>",
    )
    w.tell(
        "{h}画了{x.one}，它真的能吃！",
        "{h}画{x}，桌上就有了{x}；画{t}，身边就有了{t}。",
        "{f}饿了，{h}就画{x.one}给{f}吃。",
        "{h}又画了{v.one}，画了{n.one}，全都变成了真的。",
        "{h}画了{t.onea}送给{f}，{f}{*mood:glad.very}。",
    )
    w.more(
        "{h}还画了一片天空，天上挂着{*nature:sky,light.one}。",
        "{f}也想试一试，画出来的{*animal:farm}却只有三条腿。",
        "{h}画呀画，屋里有了大树，有了{*animal:bird.one}，像个小森林。",
    )
    w.tell(
        "后来，{h}越画越大胆，画了{y.one}。",
        "<f.say 再画一个大的吧！>{h}就画了{y.one}。",
        "{h}没多想，又画了{y.one}。",
        "可是有一天，{h}随手画了{y.one}。",
    )
    w.para()
    w.flag("转折")
    w.tell(
        "谁知{y}一下子活了，吓得{h}赶紧{*action:dodge}。",
        "谁知{y}从纸上跳下来，在屋里横冲直撞。",
        "没想到，{y}一出来就追着{h}跑。",
        "谁知{y}一下子活了，追了过来，{*idiom:chase@h}。",
        "{y}[掀翻了桌子|撞倒了椅子]，谁也拦不住。",
        "只听{*sound:burst}一声，{y}从纸上冲了出来，把东西全弄乱了。",
    )
    w.tell(
        "{*idiom:scared@h}。",
        "<f.worry 快想办法呀！>",
        "{h}吓得直{*action:shake}，一{*action:release}，{b}掉在了地上。",
        "{f}急得大叫，{h}也{*mood:terror.very}。",
    )
    w.tell(
        "{h}捡起{b}，飞快地画了一个大笼子，把{y}关了进去。",
        "{h}灵机一动，给{y}画了一扇门，{y}走进去就不见了。",
        "{h}连忙用橡皮一擦，{y}一点一点消失了。",
        "{f}喊：“把它画小！”{h}改了几笔，{y}变得比{z}还小。",
        "{h}画了一片开满花的草地，{y}闻着花香，躺下睡着了。",
    )
    w.tell(
        "从此，{h}画画以前都要想清楚。",
        "{h}擦擦汗，决定以后只画对大家有用的东西。",
        "{h&f.ta}松了一口气，[笑了起来|坐在地上大笑]。",
        "后来，{h}用{b}画了一口井，大家都有水喝了。",
        "那支{b}用完了最后一点颜色，再也没有魔力，{h}却[不后悔|笑了]。",
    )
    w.moral("care", "wit", probability=0.3)
    w.sum(
        "{h}有一支神奇的{b}，画什么都会变成真的，画了{y}以后惹了大麻烦。",
        "{h}用会变魔术的{b}画出了{y}，闯了祸，后来想办法解决了。",
    )
