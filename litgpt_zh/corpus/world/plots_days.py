"""Plots of plain days: shopping, plans, what to become."""

from __future__ import annotations

from litgpt_zh.corpus.world.engine import World, plot


@plot("买菜")
def shopping(w: World) -> None:
    """A shopping list is lost on the way; memory, or a song, must do."""
    w.hero("h")
    w.elder("e")
    w.pick("a", "food", "-drink")
    w.pick("b", "food")
    w.pick("c", "food", w.choice("vegetable", "fruit", "dairy", "cooked", "drink"))
    w.pick("d", "food", "-drink")
    w.put("p", "集市 菜市场 早市 杂货店 小卖部 超市 庙会 夜市 百货商场 商店")
    w.person("o", "店主 老板 老板娘 售货员 菜贩 收银员 杂货店老板 服务员 王阿姨 张叔叔 李阿姨 陈叔叔")
    w.tell(
        "{when}{e}让{h}去{p}买{a}、{b}和{c}。",
        "{when}{h}第一次自己去买东西，要买{a}、{b}和{c}。",
        "<e.say 买一点{a}，一点{b}，还有{c}，记住了吗？>",
        "{e}在纸上写了{a}、{b}、{c}，{at}{h}拿着纸出了门。",
        "{when}家里要来客人，{e}请{h}去买{a}、{b}和{c}。",
    )
    w.more(
        "出门的时候，{e}给了{h}一个篮子。",
        "从家到{p}要拐三个弯，{h}走得很小心。",
        "太阳照在路上，暖洋洋的。",
    )
    w.tell(
        "{h}一路念着：“{a}，{b}，{c}。”" if w.talks else "{h}一路在心里念着要买的东西。",
        "走到半路，{h}看见{*animal:pet,small.one}，逗了它一会儿。",
        "可是{h}只顾着看路边的{*plant:flower}，[把纸条弄丢了|忘了要买什么]。",
        "路上，{h}遇到伙伴，一起{*activity:games}，玩了好一会儿。",
        "一阵风吹来，{h}手里的纸条飞走了。",
    )
    w.tell(
        "到了{p}，{h}却怎么也想不起来了。",
        "{o}问{h}买什么，{h}张着嘴说不出来。",
        "{*idiom:mumble@h}。",
        "{*idiom:careless@h}，这一次又什么都忘了。",
        "{h}只记得{a}，另外的全忘了，{*mood:worried.very}。",
        "<h.worry 是{d}，还是{b}？我忘了！>",
        "{h}站在{p.in}想了半天。",
    )
    w.more(
        "{p.in}的东西真多：{*food=s1}、{*food=s2}、{*food=s3}，看得{h}[眼花了|直发愣]。",
        "{o}耐心地等着，还给{h}倒了一杯水。",
        "旁边的客人排起了长队，{h}的脸越来越红。",
    )
    w.para()
    clever = w.choice("think", "wrong", "ask")
    if clever == "wrong":
        w.flag("转折")
        w.tell(
            "{h}只好乱买一气，买回了{d}。", "最后，{h}买了{d}，高高兴兴地回了家。", "{h}想，反正都是吃的，就买了{d}。"
        )
        w.tell(
            "没想到，{e}正想吃{d}呢！", "{e}看见{d}，愣了一下，大笑起来。", "谁知{e}用{d}做了一道新菜，客人都说好吃。"
        )
        w.sum("{e}让{h}去买{a}、{b}和{c}，{h}忘了，买回了{d}。")
    elif clever == "think":
        w.tell(
            "{h}闭上眼睛，想着{e}平时做的菜，一样一样想了起来。",
            "{h}把要买的东西编成一首歌，唱着唱着就想起来了。",
            "忽然，{h}闻到一股香味，一下子想起了{b}和{c}。",
        )
        w.tell("{h}把{a}、{b}和{c}都买齐了，一样也不少。", "最后，{a}有了，{b}有了，{c}也有了。")
        w.sum(
            "{h}去{p}买东西，路上忘了要买什么，后来动脑筋想了起来。",
            "{h}去买东西，路上忘了要买什么，后来动脑筋想了起来。",
        )
    else:
        w.tell(
            "{o}笑着说：“别急，你家做什么饭呀？”",
            "{o}一样一样地问，{h}一样一样地摇头。",
            "{h}鼓起勇气，请{o}帮忙想一想。",
        )
        w.tell(
            "{h}说家里要来客人，{o}就猜出了{a}、{b}和{c}。",
            "问到{c}，{h}跳了起来：“对，就是它！”",
            "有了{o}的帮助，{h}把{a}、{b}和{c}都买到了。",
        )
        w.sum("{h}忘了要买什么，{o}帮{h}想了起来，买到了{a}、{b}和{c}。")
    w.tell(
        "{e}夸{h}长大了，{h}{*mood:proud.very}。",
        "从此，{h}出门前都要把事情记清楚。",
        "晚饭的时候，{h}吃得比谁都香。",
        "{e}用买来的菜做了一桌饭，香味飘得老远。",
        "<e.glad 下次还请你去！>",
    )
    w.more(
        "{h}提着篮子往回走，虽然有点重，心里却很高兴。",
        "{e}早就站在门口等着了。",
        "那天的饭菜特别香，大家都添了一碗。",
    )
    w.moral("care", probability=0.3)


@plot("忙碌的一天")
def busy_day(w: World) -> None:
    """A lazy one makes a plan; the plan goes wrong, and turns out well."""
    w.scene(season="any", sky="any", day="morning")
    w.hero("h")
    w.friend("f")
    w.elder("e")
    w.pick("a", "activity", "indoor", "-night")
    w.let("b", "{*activity:wash}")
    w.let("c", "{*activity:plan}")
    w.let("d", "{*activity:trip}")
    w.let("k", "{*activity:chore}")
    w.pick("x", "food", w.choice("cooked", "drink", "bread", "soup"))
    lazy = w.chance(0.6)
    w.tell(
        "{when}{h}给自己定了一个计划：先{b}，再{c}，最后{a}。",
        "{h}最爱睡懒觉，{at}{e}给{h}写了一张计划：{b}、{c}、{k}。",
        "{when}{h}醒来，想着今天要{c}，还要{d}。",
        "<e.say 今天要{b}，要{c}，还要{k}。>{h}听了直叹气。",
        "{when}{h}想和{f}去{d}，可是{e}说，要先{k}。",
    )
    w.more(
        "桌上的东西乱成一团，{h}看看这个，摸摸那个。",
        "{e}走过来看了一眼，摇了摇头。",
        "时间过得真快，一转眼就到了中午。",
        "{h}对自己说：再玩一小会儿，就一小会儿。",
    )
    w.tell(
        "{h}[揉揉眼睛|翻了个身]，又睡着了。" if lazy else "{h}马上起来{b}，{x.eat}了{x.one}，就开始{c}。",
        "{h}一会儿想{a}，一会儿想{c}，一样也没做完。",
        "{f}来叫{h}去{d}，{h}说还没{c}呢。",
        "{h}刚要{k}，又觉得{*mood:tired.very}。",
        "{h}刚要{k}，{*idiom:sleepy}。",
        "{*idiom:dawdle@h}，半天也没开始{k}。",
        "{h}磨磨蹭蹭，光是{b}就用了一个上午。",
    )
    w.more(
        "窗外，{f}已经在{*activity:games}了，笑声一阵一阵传来。"
        if w.now.sky not in ("rainy", "snowy")
        else "窗外{sky}，{h}更不想动了。",
        "{h}看看钟，{*sound:bell}，钟敲了好几下。",
        "{h}{x.eat}着{x}，眼睛却看着窗外。",
    )
    w.tell(
        "太阳偏西了，计划上的事还有一大半没做。",
        "{h}忽然想起还要{k}，可是已经不早了。",
        "忽然{e}回来了，{h}什么也没做好，{*mood:embarrassed.very}。",
        "{*idiom:flurry@h}，一边{c}，一边{k}，结果全弄乱了。",
    )
    w.para()
    w.tell(
        "<e.soft 一件一件来，做完一件，再做一件。>",
        "{f}说：“我来帮你，做完了一起去{d}！”",
        "{h}静下心来，先{k}，再{c}。",
        "{h}决定今天的事今天做完。",
    )
    w.tell(
        "{h}{*manner:work}地干着，不知不觉全做完了。",
        "{h&f.ta}一起动手，一会儿就做好了。",
        "{*idiom:busy@h}。",
        "做着做着，{h}发现{k}也很有意思。",
        "天黑以前，计划上的事都打上了勾。",
    )
    if w.flag("转折", 0.35):
        w.tell(
            "没想到，{e}早就准备好了{*thing:gift,losable.one}，奖励{h}。",
            "谁知{h}刚做完，外面就下起了大雨，{d}去不成了，大家就在家里{a}。",
            "没想到{f}也没做完，{h}又跑去帮{f}{k}。",
        )
    w.more(
        "{e}看着计划，在上面画了一朵小红花。",
        "{h}把第二天的计划也写好了，贴在床头。",
        "{f}说，一起做事，时间过得特别快。",
        "窗外的天一点一点黑了，{h}一点也不觉得累。",
    )
    w.tell(
        "晚上，{h}躺在床上，觉得这一天真长，也真好。",
        "{h}{x.eat}着香香的{x}，{*mood:glad.very}。",
        "{h}想：明天还要早一点起来。",
        "<h.glad 原来我能做这么多事！>",
        "{*idiom:content@h}，[笑着合上了本子|伸了个懒腰]。",
    )
    w.moral("work", probability=0.35)
    w.sum(
        "{h}这一天有好多事要做，开始总是拖拉，后来一件一件做完了。",
        "{h}计划{c}和{k}，磨蹭了半天，最后在大家的鼓励下完成了。",
    )


@plot("长大想当什么", "child")
def dream_job(w: World) -> None:
    """A talk about what to become; trying it out for a day shows the work behind it."""
    w.hero("h")
    w.friend("f")
    w.pick("j", "person", "job", "-teacher", "-shop")
    w.pick("k", "person", "job", "-teacher", "-shop")
    w.pick("m", "person", "job", "-teacher")
    w.pick("t", "person", "teacher")
    w.tell(
        "{when}{t}问大家长大想当什么，{h}说想当{j}。",
        "{when}{h}看见{j.one}{*manner:work}地干活，[心里想|对自己说]：长大了我也要当{j}。",
        "{f}长大想当{k}，{h}长大想当{j}。",
        "{h}一会儿想当{k}，一会儿想当{m}，{at}又想当{j}了。",
        "<h.say 我长大了要当{j}！><f.say 我要当{k}！>",
    )
    w.more(
        "{h}画了一张画，画上的自己穿着{j}的衣服，[神气极了|笑得可开心了]。",
        "大家说什么的都有：有的要当{*person:job}，有的要当{*person:job}。",
    )
    lazy = w.flag("转折", 0.4)
    w.tell(
        "{f}笑了：“当{j}可[不容易|累]呢！”",
        "有的孩子笑{h}，说这件事{h}[做不到|不行]。",
        "{*idiom:itch@h}，一定要亲自试一试。",
        "大家都说好，{*idiom:itch@h}。",
        "{h}以为当{j}[又好玩又轻松|很容易]。",
        "{h}[缠着|请]妈妈带自己去看真正的{j}。",
    )
    w.para()
    w.tell(
        "第二天，{h}真的去给{j}帮忙。",
        "{j}答应让{h}跟着学一天。",
        "[星期天|放假了]，{h}跟着{j}忙了一天。",
        "{h}[学着|跟着]{j}的样子干了起来。",
    )
    w.tell(
        "从早忙到晚，{h}累得[腰酸背痛|满头大汗]，{*mood:tired.very}。",
        "{*idiom:tired@h}，这才知道有多辛苦。",
        "{h}累得想{*action:repose}，可{j}还在忙。",
        "{h}的手上[磨出了泡|沾满了灰]，可{j}一点也不喊累。",
        "事情一件接一件，{h}连{*food:cooked}也顾不上吃。",
    )
    w.some(
        "“每天都要这样，[你还想当吗|怕不怕]？”{j}问。",
        "{j}拍拍{h}的肩膀，夸{h}干得不错。",
    )
    if lazy:
        w.tell(
            "没想到，{h}改了主意，说还是想当{m}，大家都笑了。",
            "谁知{h}说：“我还是先当好一个小学生吧。”",
            "可是晚上，{h}又说不当{j}了，要当一个让{j}不那么累的{m}。",
        )
    else:
        w.tell(
            "可是{h}说，[再累也要当|长大还是要当]{j}。",
            "从此，{h}更[努力|认真]地学习，等着那一天。",
            "<h.say 我不怕累，我一定要当{j}！>",
            "{h}把{j}的样子画下来，贴在床头。",
        )
    w.tell(
        "晚上，{h}梦见自己成了{j}，{*mood:glad.very}。",
        "{f}说：“到时候，我来给你帮忙！”",
        "妈妈听了，[笑着|高兴地]抱住了{h}。",
        "{*idiom:learnt@h}。",
        "{h}觉得，每一个认真干活的人都很了不起。",
    )
    w.moral("work", "own", probability=0.3)
    w.sum(
        "{h}长大想当{j}，跟着{j}忙了一天，知道了其中的辛苦。",
        "{h}的愿望是当{j}，亲自试了一天才知道不容易。",
    )
