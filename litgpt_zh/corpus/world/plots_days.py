"""Plots of plain days: shopping, plans, what to become."""

from __future__ import annotations

from litgpt_zh.corpus.world.engine import World, plot


@plot("买菜")
def shopping(w: World) -> None:
    """A shopping list is lost on the way; memory, or a song, must do."""
    w.scene(sky="sunny", occasions="端午节 中秋节 春节")
    w.hero("h")
    w.elder("e")
    w.pick("a", "food", "-drink", "-soup")
    w.pick("b", "food", w.choice("vegetable", "fruit", "nut", "cake"))
    w.pick("c", "food", w.choice("vegetable", "fruit", "dairy", "bread", "candy"))
    w.pick("d", "food", "-drink", "-soup")
    w.put("p", "集市 菜市场 早市 杂货店 小卖部 超市 庙会 夜市 百货商场 商店")
    w.person("o", "店主 老板 老板娘 售货员 菜贩 收银员 杂货店老板 服务员 王阿姨 张叔叔 李阿姨 陈叔叔")
    w.tell(
        "{when}{e}让{h}去{p}买{a}、{b}和{c}。",
        "{when}{h}第一次自己去买东西，要买{a}、{b}和{c}。",
        "<e.say 买一点{a}，一点{b}，还有{c}，记住了吗？>",
        "{when}{e}把{a}、{b}和{c}写在纸条上，{h}拿着纸条出了门。",
        "{when}家里要来客人，{e}请{h}去买{a}、{b}和{c}。",
    )
    w.more(
        "出门的时候，{e}给了{h}一个篮子。",
        "从家到{p}要拐三个弯，{h}走得很小心。",
        "太阳照在路上，到处都亮堂堂的。",
    )
    w.tell(
        "{h}一边走，一边{*action:mutter}：“{a}，{b}，{c}。”" if w.talks else "{h}一边走，一边小声{*action:mutter}。",
        "走到半路，{h}看见{*animal:pet,small.one}，逗了它一会儿。",
        "可是{h}只顾着看路边的{*plant:flower}，[把纸条弄丢了|忘了要买什么]。",
        "路上，{h}遇到了伙伴，大家一起{*activity:games}，玩了好一会儿。",
        "一阵风吹来，{h}手里的纸条飞走了。",
    )
    w.tell(
        "到了{p}，{h}却怎么也想不起来了。",
        "{o}问{h}买什么，{h}张着嘴说不出来。",
        "{*idiom:mumble@h}。",
        "{*idiom:careless@h}，这一次又忘了要买什么。",
        "{h}只记得{a}，别的全忘了，{*mood:worried.very}。",
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
        w.tell("{h}只好乱买一气，买回了{d}。", "最后，{h}买了{d}，低着头回了家。", "{h}想，反正都是吃的，就买了{d}。")
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
            "{o}说到{c}的时候，{h}高兴得跳了起来，一下子全想起来了。",
            "有了{o}的帮助，{h}把{a}、{b}和{c}都买到了。",
        )
        w.sum("{h}忘了要买什么，{o}帮{h}想了起来，买到了{a}、{b}和{c}。")
    w.tell(
        "{e}夸{h}长大了，{h}觉得{*mood:honoured.very}。",
        "从此，{h}出门前都要把事情记清楚。",
        "吃饭的时候，{h}吃得比谁都香。",
        "{e}把买来的东西摆了一桌，大家吃得高高兴兴。",
        "<e.glad 下次还请你去！>",
    )
    w.more(
        "{h}提着篮子往回走，虽然有点重，心里却很高兴。",
        "{e}早就站在门口等着了。",
        "那天的饭特别香，大家都添了一碗。",
    )
    w.moral("care", probability=0.3)


@plot("忙碌的一天")
def busy_day(w: World) -> None:
    """A lazy one has three things to do; they go wrong, and turn out well."""
    w.scene(season="any", sky="any", day="morning")
    w.hero("h")
    w.friend("f")
    w.elder("e")
    w.let("b", "{*activity:wash}")
    w.let("k", "{*activity:chore}")
    w.let("c", "{*activity:plan}")
    w.let("d", "{*activity:trip}")
    w.pick("x", "food", w.choice("cooked", "drink", "bread", "soup"))
    dry = w.now.sky not in ("rainy", "snowy")
    w.tell(
        "{when}{h}给自己定了一个计划：先{b}，再{k}，最后{c}。",
        "{h}最爱睡懒觉，{at}{e}给{h}写了一份计划：{b}、{k}、{c}。",
        "{when}{h}醒来，想着今天要{b}，要{k}，还要{c}。",
        "<e.say 今天要{b}，要{k}，还要{c}。>{h}听了直叹气。",
        "{when}{h}想和{f}去{d}，可是{e}说，要先{b}、{k}，再{c}。"
        if dry
        else "外面{sky}，{h}哪儿也去不了，{e}说，正好可以{b}、{k}，再{c}。",
    )
    w.more(
        "桌上的东西乱成一团，{h}看看这个，摸摸那个。",
        "{e}走过来看了一眼，摇了摇头。",
        "{h}对自己说：再玩一小会儿，就一小会儿。",
    )
    w.tell(
        "可是{h}[揉揉眼睛|翻了个身]，又睡着了。",
        "{h}一会儿想{k}，一会儿想{c}，一样也没做完。",
        "{h}刚要{k}，又觉得{*mood:tired.very}。",
        "{h}在{*place:nook.in}{x.eat}{x}，{x.eat}了好半天。",
        "{*idiom:dawdle@h}，半天也没开始{k}。",
        "{h}{*manner:lazy}地坐着，半天也没开始{k}。",
        "{*idiom:sleepy@h}，半天也没开始{k}。",
        "{h}磨磨蹭蹭，光是{b}就用了一个上午。",
        "{h}只顾着{*activity:indoor,play,-night}，把计划忘在了一边。",
    )
    w.more(
        "窗外，{f}已经在{*activity:games}了，笑声一阵一阵传来。" if dry else "窗外{sky}，{h}更不想动了。",
        "钟{*sound:bell}地敲了好几下，{h}这才抬起头来。",
        "{h}{x.eat}着{x}，眼睛却看着窗外。",
    )
    w.tell(
        "一转眼就到了中午，计划上的事还有一大半没做。",
        "{h}忽然想起还要{k}，可是已经不早了。",
        "{e}回来了，{h}什么也没做好，{*mood:embarrassed.very}。",
        "{*idiom:flurry@h}，一边{k}，一边{c}，结果全弄乱了。",
    )
    w.para()
    w.tell(
        "<e.soft 一件一件来，做完一件，再做一件。>",
        "<f.say 别急，我来陪你。>",
        "{h}静下心来，先{k}，再{c}。",
        "{h}决定今天的事今天做完。",
    )
    w.tell(
        "{h}{*manner:work}地做着，不知不觉全做完了。",
        "{h}一件一件地做，天黑以前就全做好了。",
        "{*idiom:busy@h}。",
        "做着做着，{h}发现{k}也很有意思。",
        "天黑以前，计划上的事都打上了勾。",
    )
    if w.flag("转折", 0.35):
        w.tell(
            "没想到，{e}早就准备好了{*thing:gift,losable.one}，奖励{h}。",
            "没想到{f}也没做完，{h}又跑去帮{f}{k}。",
        )
    w.more(
        "{e}看着计划，在上面画了一朵小红花。",
        "{h}把第二天的计划也写好了，贴在床头。",
        "{f}说，一件一件地做，时间过得特别快。",
        "窗外的天一点一点黑了，{h}一点也不觉得累。",
    )
    w.tell(
        "晚上，{h}躺在床上，觉得这一天真长，也真好。",
        "{h}{x.eat}着香香的{x}，{*mood:glad.very}。"
        if not w.slot("x").has("drink")
        else "{h}{x.eat}着{x}，{*mood:glad.very}。",
        "{h}想：明天还要早一点起来。",
        "<h.glad 原来我能做这么多事！>",
        "{*idiom:content@h}，伸了个懒腰。",
    )
    w.moral("work", probability=0.35)
    w.sum(
        "{h}这一天要{b}、{k}和{c}，开始总是拖拉，后来一件一件做完了。",
        "{h}要{b}、{k}，还要{c}，磨蹭了半天，最后都做完了。",
    )


@plot("长大想当什么", "child")
def dream_job(w: World) -> None:
    """A talk about what to become; trying it out for a day shows the work behind it."""
    w.hero("h")
    w.friend("f")
    w.scene(term=True, season="any")
    w.pick("j", "person", "tried")
    w.pick("k", "person", "wished")
    w.pick("m", "person", "wished")
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
        "大家说什么的都有：有的要当{*person:wished}，有的要当{*person:wished}。",
    )
    lazy = w.flag("转折", 0.4)
    w.tell(
        "{f}笑了：“当{j}可[不容易|累]呢！”",
        "有的孩子笑{h}，说这件事{h}[做不到|不行]。",
        "{*idiom:itch@h}，真想马上就去学一学。",
        "大家听了都说好，{*idiom:itch@h}。",
        "{h}以为当{j}[又好玩又轻松|是一件很容易的事]。",
        "{h}[缠着|请]妈妈带自己去看{j}干活。",
    )
    w.para()
    w.tell(
        "到了星期天，{h}真的去给{j}帮忙。",
        "{j}答应让{h}跟着学一天。",
        "[星期天|放假的时候]，{h}跟着{j}忙了一天。",
        "{h}[学着|跟着]{j}的样子干了起来。",
    )
    w.tell(
        "从早忙到晚，{h}累得[腰酸背痛|满头大汗]。",
        "{*idiom:tired@h}，这才知道有多辛苦。",
        "{h}累得想{*action:repose}，可{j}还在忙。",
        "{h}的手上[磨出了泡|沾满了灰]，可{j}一点也不喊累。",
        "事情一件接一件，{h}忙得浑身{*mood:limp}，连饭也顾不上吃。",
    )
    w.some(
        "“每天都要这样，[你还想当吗|怕不怕]？”{j}问。",
        "{j}拍拍{h}的肩膀，夸{h}干得不错。",
    )
    if lazy:
        w.tell(
            "没想到，{h}改了主意，说还是想当{m}，大家都笑了。",
            "谁知{h}说：“我还是先当好一个小学生吧。”",
            "可是晚上，{h}又说不当{j}了，想当{m}。",
        )
    else:
        w.tell(
            "可是{h}说，[再累也要当|长大还是要当]{j}。",
            "从此，{h}更[努力|认真]地学习，等着那一天。",
            "<h.say 我不怕累，我一定要当{j}！>",
            "{h}把{j}的样子画下来，贴在床头。",
        )
    w.tell(
        "晚上，{h}躺在床上，把这一天的事想了一遍又一遍。",
        "{f}说：“到时候，我来给你帮忙！”",
        "妈妈听了，[笑着|高兴地]抱住了{h}。",
        "{*idiom:learnt@h}。",
        "{h}觉得，每一个认真干活的人都很了不起。",
    )
    w.moral("work", "own", probability=0.3)
    w.sum(
        "{h}长大想当{j}，跟着{j}忙了一天，知道了其中的辛苦。",
        "{h}的愿望是当{j}，跟着忙了一天才知道不容易。",
    )
